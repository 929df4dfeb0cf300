"""Devices of a retired issuer stay devices: the gateway, brokers and commands know every issuer of the service."""

import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from tests.support.clients.aws import Live
from tests.support.devices.live_devices import Credentials, is_admitted, new_credentials
from tests.support.machine.required import required_program
from tests.support.machine.soak import ONE_ENGINE
from tests.support.services.forked import run_thingmint
from tests.support.services.service import ended_start, running_service

from thingmint.data_directory.certificate_files import certificate_path, key_path
from thingmint.data_directory.files import make_directory
from thingmint.data_directory.retired_issuers import name_of
from thingmint.issuance.authorities.issuing_ca import issuer_id_of


# Several nodes on PostgreSQL retire an issuer in each run, in test_issuers.
@pytest.fixture(params=ONE_ENGINE)
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The flags that choose each engine in turn."""
    return () if request.param == "sqlite" else ("--database-url", request.getfixturevalue("migrated_postgresql_url"))


def retire(data_dir: Path) -> str:
    """Do what a rotation does to the files of the active issuer, and return its id; the next start makes another."""
    active = certificate_path(data_dir, "issuing-ca")
    issuer_id = issuer_id_of(x509.load_pem_x509_certificate(active.read_bytes()))
    for path_of in (key_path, certificate_path):
        target = path_of(data_dir, name_of(issuer_id))
        make_directory(target.parent)
        path_of(data_dir, "issuing-ca").rename(target)
    return issuer_id


def command(data_dir: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command on the data directory."""
    return run_thingmint(*words, "--data-dir", str(data_dir))


def verified(data_dir: Path, credentials: Credentials) -> bool:
    """Return whether OpenSSL verifies a device as a broker would."""
    judged = subprocess.run(
        [required_program("openssl"), "verify", "-x509_strict", "-CAfile", str(data_dir / "device-ca.pem")],
        input=credentials.certificate_pem,
        capture_output=True,
        text=True,
        check=False,
    )
    return judged.returncode == 0


def test_devices_of_both_issuers_are_served(tmp_path: Path, options: tuple[str, ...]) -> None:
    data_dir, url = tmp_path / "data", options[1] if options else None
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a long passphrase\n")
    options = (*options, "--ca-passphrase-file", str(passphrase))
    with running_service(data_dir, *options) as service:
        iot = Live(service, url).client()
        old = new_credentials(iot)
        iot.close()
    issuer_id = retire(data_dir)
    with running_service(data_dir, *options) as service:
        live = Live(service, url)
        iot = live.client()
        new = new_credentials(iot)
        for credentials in (old, new):
            assert is_admitted(live, credentials, tmp_path)
            assert verified(data_dir, credentials)
        # The old device is as revocable as any.
        iot.update_certificate(certificateId=old.certificate_id, newStatus="REVOKED")
        assert not is_admitted(live, old, tmp_path)
        assert is_admitted(live, new, tmp_path)
        iot.close()
    issuers = {x509.load_pem_x509_certificate(each.certificate_pem.encode()).issuer for each in (old, new)}
    assert len(issuers) == 2

    shown = json.loads(command(data_dir, "issuer", "show", "--json", *options).stdout)
    by_status = {row["status"]: row for row in shown if "status" in row}
    assert set(by_status) == {"ACTIVE", "RETIRED"}
    assert by_status["RETIRED"]["sha256"] == issuer_id
    assert "sealed by a passphrase" in by_status["RETIRED"]["private_key"]

    doctor = ("doctor", *options)
    examined = command(data_dir, *doctor)
    assert examined.returncode == 0, examined.stdout
    assert f"ok       retired issuer {issuer_id} is trusted until " in examined.stdout
    assert "which is not in the data directory" not in examined.stdout
    # The database knows it, wherever its file is.
    certificate_path(data_dir, name_of(issuer_id)).rename(tmp_path / "away.pem")
    with running_service(data_dir, *options):
        assert verified(data_dir, old)
    examined = command(data_dir, *doctor)
    assert examined.returncode == 0, examined.stdout
    assert "which is neither in it nor in the data directory" not in examined.stdout


def test_a_database_whose_newest_certificate_is_of_a_retired_issuer_is_ones_own(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    data_dir, url = tmp_path / "data", options[1] if options else None
    with running_service(data_dir, *options) as service:
        iot = Live(service, url).client()
        old = new_credentials(iot)
        iot.close()
    issuer_id = retire(data_dir)
    with running_service(data_dir, *options) as service:
        live = Live(service, url)
        assert is_admitted(live, old, tmp_path)
    # Without its files, the database still knows it, and that this service is its own.
    for path_of in (key_path, certificate_path):
        path_of(data_dir, name_of(issuer_id)).unlink()
    with running_service(data_dir, *options) as service:
        assert is_admitted(Live(service, url), old, tmp_path)


def test_a_retired_issuer_that_cannot_be_read_keeps_the_service_from_starting_and_is_named(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running_service(data_dir, key_reserve=0):
        pass
    path = certificate_path(data_dir, name_of(retire(data_dir)))
    whole = path.read_bytes()
    path.write_text("junk")
    assert f"{path} holds no certificate" in ended_start(data_dir)
    for words in (("doctor",), ("issuer", "show")):
        said = command(data_dir, *words)
        assert said.returncode == 1
        assert f"{path} holds no certificate" in said.stdout + said.stderr
    path.write_bytes(whole)
    with running_service(data_dir, key_reserve=0):
        pass
