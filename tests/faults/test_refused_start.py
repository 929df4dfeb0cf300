"""A service that cannot be what its operator believes it to be does not start, says why, and makes nothing."""

import shutil
from pathlib import Path

from tests.support.clients.client import client_of, create_keys, describe
from tests.support.services.service import ended_start, running_service


def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    data_dir, backup = tmp_path / "data", tmp_path / "backup"
    with running_service(data_dir, key_reserve=0) as service:
        created = create_keys(client_of(service))
    backup.mkdir()
    for file in data_dir.glob("thingmint.sqlite*"):
        shutil.move(file, backup / file.name)

    said = ended_start(data_dir)
    assert f"{data_dir / 'thingmint.sqlite'} is missing" in said
    assert "restore it from a backup" in said
    assert not list(data_dir.glob("thingmint.sqlite*"))

    for file in backup.iterdir():
        shutil.copy2(file, data_dir / file.name)
    with running_service(data_dir, key_reserve=0) as restored:
        assert describe(client_of(restored), created.certificate_id)["certificatePem"] == created.certificate_pem


def test_whoever_wants_to_begin_with_an_empty_database_does_what_the_refusal_says(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running_service(data_dir, key_reserve=0):
        pass
    for file in (*data_dir.glob("thingmint.sqlite*"), data_dir / "credentials"):
        file.unlink()
    with running_service(data_dir, key_reserve=0) as service:
        assert create_keys(client_of(service)).private_key_pem


def test_a_quota_of_no_operation_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    settings = data_dir / "thingmint.toml"
    settings.write_text('[quota]\nCreateKeysAndCertificat = 25\n"*" = 100\n')
    assert "quota names CreateKeysAndCertificat, which is no operation of AWS IoT" in ended_start(data_dir)
    settings.write_text('[quota]\nCreateKeysAndCertificate = 25\nPublish = 50\n"*" = 100\n')
    with running_service(data_dir, key_reserve=0) as service:
        assert create_keys(client_of(service)).private_key_pem
