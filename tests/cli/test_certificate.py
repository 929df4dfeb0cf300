"""`thingmint certificate revoke`: beside a running service or without one, and what it refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.clients.client import client_of, create_keys, describe
from tests.support.services.service import running_service

from thingmint.cli.commands import main


def invoke(*arguments: str) -> tuple[int, str]:
    finished = CliRunner().invoke(main, ["certificate", "revoke", *arguments])
    return finished.exit_code, finished.output


def test_a_certificate_is_revoked_while_the_service_runs_and_after_it_has_stopped(tmp_path: Path) -> None:
    directory = ("--data-dir", str(tmp_path / "data"))
    with running_service(tmp_path / "data", key_reserve=0) as service:
        client = client_of(service)
        certificate_id = create_keys(client).certificate_id
        assert invoke(certificate_id, "--reason", "superseded", *directory) == (
            0,
            f"{certificate_id} is revoked: superseded\n",
        )
        assert describe(client, certificate_id)["status"] == "REVOKED"

    assert invoke(certificate_id, "--reason", "keyCompromise", *directory)[0] == 0
    code, said = invoke("0" * 64, "--reason", "keyCompromise", *directory)
    assert (code, "does not exist" in said) == (1, True)
    code, said = invoke("hello", "--reason", "keyCompromise", *directory)
    assert code == 1
    code, said = invoke(certificate_id, "--reason", "certificateHold", *directory)
    assert (code, "is not one of" in said) == (2, True)


def test_a_directory_without_a_registry_is_named(tmp_path: Path) -> None:
    code, said = invoke("0" * 64, "--reason", "superseded", "--data-dir", str(tmp_path / "nothing"))

    assert (code, "holds no registry yet" in said) == (1, True)


async def test_the_command_makes_no_keys() -> None:
    from thingmint.cli.certificate import _NoKeys
    from thingmint.core.errors import ServiceUnavailable

    with pytest.raises(ServiceUnavailable):
        await _NoKeys().take()
