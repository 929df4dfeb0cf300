"""Services on one PostgreSQL database are one authority with the same keys, and refuse to start with others."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.clients.client import client_of, create_keys, describe
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, write_input
from tests.support.registration.provisioning import ROLE_ARN
from tests.support.services.forked import run_thingmint
from tests.support.services.service import Service, ended_start, running_service, start_service

from thingmint.cli.connection import ServiceRefused

REFUSAL = "the database does not belong to the keys in"
REFUSAL_OF_NEW = "the database belongs to a service whose keys are neither in it nor in"


def copy_keys(source: Path, target: Path) -> None:
    """Do what the refusal says."""
    target.mkdir(mode=0o700, exist_ok=True)
    for name in ("keys", "certificates"):
        shutil.copytree(source / name, target / name)
    shutil.copy2(source / "credentials", target / "credentials")


def test_service_with_other_keys_refuses_a_database_that_is_not_its_own(
    tmp_path: Path,
    postgresql_url: str,
) -> None:
    options = ("--database-url", postgresql_url)
    with running_service(tmp_path / "first", *options) as first:
        created = create_keys(client_of(first))
        said = ended_start(tmp_path / "second", *options)
        assert f"{REFUSAL_OF_NEW} {tmp_path / 'second'}" in said
        assert "copy keys/, certificates/ and credentials of that node" in said
        assert not (tmp_path / "second" / "keys").exists()

        with running_service(tmp_path / "other"):
            shutil.copytree(tmp_path / "other" / "keys", tmp_path / "second" / "keys")
            shutil.copytree(tmp_path / "other" / "certificates", tmp_path / "second" / "certificates")
        said = ended_start(tmp_path / "second", *options)
        assert f"{REFUSAL} {tmp_path / 'second'}: the secret of access key " in said
        assert "give a new directory and the passphrase of the node that filled it" in said
        assert not (tmp_path / "second" / "endpoints.json").exists()
        for command in (
            ["access-key", "create", "--policy", "-"],
            ["issue", "--offline", "--out", str(tmp_path / "o")],
        ):
            refused = run_thingmint(
                *command,
                "--data-dir",
                str(tmp_path / "second"),
                *options,
                stdin='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}',
            )
            assert refused.returncode == 1
            assert REFUSAL in refused.stderr

        copy_keys(first.data_dir, tmp_path / "third")
        with running_service(tmp_path / "third", *options) as third:
            # Each knows the other's callers and certificates, and both chain to one root.
            assert describe(client_of(third), created.certificate_id)["certificatePem"] == created.certificate_pem
            also = create_keys(client_of(third))
            assert describe(client_of(first), also.certificate_id)["status"] == "ACTIVE"
            assert (third.data_dir / "device-ca.pem").read_bytes() == (first.data_dir / "device-ca.pem").read_bytes()

        # The sealing key alone is not enough: devices would get certificates of two authorities.
        copy_keys(first.data_dir, tmp_path / "fourth")
        for name in ("issuing-ca", "root-ca", "service-ca"):
            for path in (f"keys/{name}.key", f"certificates/{name}.pem"):
                shutil.copy2(tmp_path / "other" / path, tmp_path / "fourth" / path)
        said = ended_start(tmp_path / "fourth", *options)
        assert f"certificate {also.certificate_id} in it was issued by another authority" in said


def test_first_starts_at_the_same_time_leave_one_authority_or_none(
    tmp_path: Path,
    postgresql_url: str,
) -> None:
    options = ("--database-url", postgresql_url)

    def start(name: str) -> Service | None:
        try:
            return start_service(tmp_path / name, *options)
        except AssertionError as error:
            assert REFUSAL in str(error) or REFUSAL_OF_NEW in str(error)  # noqa: PT017  either outcome is right
            return None

    with ThreadPoolExecutor(2) as pool:
        started = [service for service in pool.map(start, ("first", "second")) if service is not None]
    try:
        assert len(started) < 2
    finally:
        for service in started:
            service.terminate()
    # Whoever comes now finds either a database of its own or an empty one: nobody is locked out of it for good.
    outcomes = [start(name) for name in ("first", "second")]
    survivors = [service for service in outcomes if service is not None]
    try:
        assert len(survivors) == 1
        create_keys(client_of(survivors[0]))
    finally:
        for service in survivors:
            service.close_clients()
            service.terminate()


def test_first_starts_at_the_same_time_with_one_passphrase_are_one_service(
    tmp_path: Path,
    postgresql_url: str,
) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("the passphrase of the keys")
    options = ("--database-url", postgresql_url, "--ca-passphrase-file", str(passphrase))
    with ThreadPoolExecutor(2) as pool:
        start = lambda name: start_service(tmp_path / name, *options, key_reserve=1)  # noqa: E731  one line
        first, second = pool.map(start, ("first", "second"))
    try:
        for name in ("ca.pem", "device-ca.pem", "credentials"):
            assert (first.data_dir / name).read_bytes() == (second.data_dir / name).read_bytes()
        created = create_keys(client_of(first))
        assert describe(client_of(second), created.certificate_id)["certificatePem"] == created.certificate_pem
    finally:
        for service in (first, second):
            service.close_clients()
            service.terminate()
    other = tmp_path / "other"
    other.write_text("another passphrase")
    node = ("--data-dir", str(first.data_dir), "--database-url", postgresql_url)
    sealed = ("seal", *node, "--ca-passphrase-file", str(passphrase), "--new-passphrase-file", str(other))
    said = run_thingmint(*sealed, check=True).stdout
    assert "5 keys are sealed by the new passphrase\nthe copies of the keys in the database have the new" in said
    removed = run_thingmint("node", "remove-root-key", *node, check=True)
    assert removed.stdout == "the root's key is removed from the database\n"
    assert "root-ca.key is still here" in removed.stderr


def test_new_keys_for_an_old_database_are_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running_service(data_dir) as service:
        create_keys(client_of(service))
    shutil.rmtree(data_dir / "keys")
    shutil.rmtree(data_dir / "certificates")
    assert f"{REFUSAL} {data_dir}" in ended_start(data_dir)
    doctor = run_thingmint("doctor", "--data-dir", str(data_dir))
    assert doctor.returncode == 1
    assert f"wrong    {REFUSAL} {data_dir}" in doctor.stdout


def test_nodes_without_a_directory_leave_bulk_registrations_to_those_with_one(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    options, root = ("--database-url", migrated_postgresql_url), tmp_path / "buckets"
    write_input(root, [{"Name": "sensor"}], "000000000000")
    given = {"templateBody": TEMPLATE, "inputFileBucket": BUCKET, "inputFileKey": KEY, "roleArn": ROLE_ARN}
    with running_service(tmp_path / "first", *options, key_reserve=0) as first:
        copy_keys(first.data_dir, tmp_path / "second")
        refused = refusal_of(client_of(first).call, "POST", "/thing-registration-tasks", {}, given)
        assert "registration_dir names no directory" in refused
        with running_service(tmp_path / "second", *options, "--registration-dir", str(root), key_reserve=0) as second:
            for _ in range(3):
                task = client_of(second).call("POST", "/thing-registration-tasks", {}, given)["taskId"]
                while True:
                    described = client_of(first).call("GET", f"/thing-registration-tasks/{task}", {})
                    if described["status"] not in ("InProgress", "Cancelling"):
                        break
                assert (described["status"], described.get("message")) == ("Completed", None)


def refusal_of(call: Callable[..., object], *arguments: object) -> str:
    """Return what the service says against a request."""
    with pytest.raises(ServiceRefused) as refused:
        call(*arguments)
    return str(refused.value)
