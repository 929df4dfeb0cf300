"""The AWS CLI in a real shell: what `thingmint serve` prints is typed in as it stands."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT, Live
from tests.support.machine.required import require
from tests.support.services.forked import programs

INSTALLED = Path(sys.executable).parent
OUTFILES = ("c.pem", "k.pem", "p.pem")
GREETING_WITHIN_SECONDS = 30.0


@dataclass(frozen=True)
class Shell:
    """A POSIX shell in an empty home, with nothing set but where programs are and what `thingmint env` says."""

    home: Path
    to_the_service: str
    programs: Path
    """Where `aws` is."""

    def run(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Run a script after the line that the service printed."""
        programs = os.pathsep.join((str(self.programs), str(INSTALLED), os.environ.get("PATH", os.defpath)))
        finished = subprocess.run(
            ["/bin/sh", "-euc", f"{self.to_the_service}\n{script}"],
            cwd=self.home,
            env={"PATH": programs, "HOME": str(self.home), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished

    def json(self, script: str) -> dict[str, Any]:
        """Return what the script prints."""
        printed: dict[str, Any] = json.loads(self.run(script).stdout)
        return printed


def printed_line(live: Live, start: str) -> str:
    """Return the line of the service's first words that starts so; they may still be on their way through the pipe."""
    tick = threading.Event()
    for _ in range(int(GREETING_WITHIN_SECONDS / 0.02)):
        for line in live.service.greeting:
            if line.strip().startswith(start):
                return line.strip()
        tick.wait(0.02)
    raise AssertionError(f"no line starts with {start!r}: {live.service.greeting}")


def shell_of(live: Live, home: Path) -> Shell:
    """Return a shell that has typed the first of the lines that the service prints; its `aws` is forked."""
    require((INSTALLED / "aws").exists(), "the AWS CLI is not in the virtual environment")
    return Shell(home, printed_line(live, 'eval "$('), programs())


@pytest.fixture
def shell_on_sqlite(live_on_sqlite: Live, tmp_path: Path) -> Shell:
    """A shell for one service."""
    return shell_of(live_on_sqlite, tmp_path)


def test_the_lines_that_the_service_prints_make_the_first_certificate(live: Live, tmp_path: Path) -> None:
    # The AWS CLI as it is installed, while the other tests fork it.
    shell = replace(shell_of(live, tmp_path), programs=INSTALLED)
    created = shell.json(printed_line(live, "aws iot create-keys-and-certificate"))

    modes = {name: stat.S_IMODE((shell.home / name).stat().st_mode) for name in OUTFILES}
    assert modes == dict.fromkeys(OUTFILES, 0o600)
    certificate, private_key, public_key = ((shell.home / name).read_bytes() for name in OUTFILES)
    loaded = serialization.load_pem_private_key(private_key, None)
    assert loaded.public_key() == x509.load_pem_x509_certificate(certificate).public_key()
    assert loaded.public_key() == serialization.load_pem_public_key(public_key)
    described = shell.json(f"aws iot describe-certificate --certificate-id {created['certificateId']}")
    assert described["certificateDescription"]["status"] == "ACTIVE"
    assert described["certificateDescription"]["certificatePem"].encode() == certificate


def test_a_certificate_is_operated_from_the_shell(shell_on_sqlite: Shell) -> None:
    (shell_on_sqlite.home / "device.csr").write_text(csr_pem("p-256"))
    script = """
    id=$(aws iot create-certificate-from-csr --certificate-signing-request file://device.csr --set-as-active \
      --query certificateId --output text)
    aws iot list-certificates --page-size 1 --query "certificates[0].certificateId == '$id'"
    aws iot delete-certificate --certificate-id "$id" || echo refused
    aws iot update-certificate --certificate-id "$id" --new-status INACTIVE
    aws iot delete-certificate --certificate-id "$id"
    aws iot describe-certificate --certificate-id "$id" || echo refused
    """

    finished = shell_on_sqlite.run(script)

    assert finished.stdout.split() == ["true", "refused", "refused"]
    assert "(CertificateStateException) when calling the DeleteCertificate operation" in finished.stderr
    assert "(ResourceNotFoundException) when calling the DescribeCertificate operation" in finished.stderr


def test_pages_follow_each_other_by_hand_and_by_itself(
    shell_on_sqlite: Shell, live_on_sqlite: Live, administrators: Callable[[Live], IoT]
) -> None:
    for _ in range(5):
        administrators(live_on_sqlite).create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"))

    first = shell_on_sqlite.json("aws iot list-certificates --page-size 2")
    second = shell_on_sqlite.json(f"aws iot list-certificates --page-size 2 --marker '{first['nextMarker']}'")
    paginated = shell_on_sqlite.json("aws iot list-certificates --max-items 4")

    assert [len(page["certificates"]) for page in (first, second)] == [2, 2]
    assert first["certificates"] + second["certificates"] == paginated["certificates"]


def test_a_thing_is_operated_from_the_shell(shell_on_sqlite: Shell) -> None:
    (shell_on_sqlite.home / "device.csr").write_text(csr_pem("p-256"))
    script = """
    aws iot create-thing-type --thing-type-name cli-light --query thingTypeName --output text
    aws iot create-thing-group --thing-group-name cli-lamps --query thingGroupName --output text
    aws iot create-thing --thing-name cli-lamp --thing-type-name cli-light \
      --attribute-payload 'attributes={colour=red}' --query thingName --output text
    arn=$(aws iot create-certificate-from-csr --certificate-signing-request file://device.csr \
      --query certificateArn --output text)
    aws iot attach-thing-principal --thing-name cli-lamp --principal "$arn"
    aws iot list-principal-things --principal "$arn" --query things --output text
    aws iot add-thing-to-thing-group --thing-group-name cli-lamps --thing-name cli-lamp
    aws iot list-things-in-thing-group --thing-group-name cli-lamps --query things --output text
    aws iot list-things --attribute-name colour --attribute-value re --use-prefix-attribute-value \
      --thing-type-name cli-light --query 'things[].thingName' --output text
    aws iot delete-thing --thing-name cli-lamp || echo refused
    aws iot detach-thing-principal --thing-name cli-lamp --principal "$arn"
    aws iot delete-thing --thing-name cli-lamp
    aws iot delete-thing-group --thing-group-name cli-lamps
    aws iot describe-thing --thing-name cli-lamp || echo gone
    """

    finished = shell_on_sqlite.run(script)

    lamp = "cli-lamp"
    assert finished.stdout.split() == ["cli-light", "cli-lamps", lamp, lamp, lamp, lamp, "refused", "gone"]
    assert "(InvalidRequestException) when calling the DeleteThing operation: Cannot delete." in finished.stderr
    assert "(ResourceNotFoundException) when calling the DescribeThing operation" in finished.stderr
