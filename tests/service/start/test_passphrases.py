"""A passphrase comes from a file, an inherited descriptor, or systemd's credentials."""

import os
from pathlib import Path

import pytest

from thingmint.service.start.passphrases import CREDENTIAL, read_passphrase, read_passphrase_source
from thingmint.settings.config import StartRefused


def test_a_descriptor_is_read_and_closed() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"over a pipe\n")
    os.close(writing)
    assert read_passphrase_source(Path(f"fd:{reading}"), "x") == b"over a pipe"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
    for wrong in (f"fd:{reading}", "fd:", "fd:x"):
        with pytest.raises(StartRefused, match="--new-passphrase-file cannot be read"):
            read_passphrase_source(Path(wrong), "--new-passphrase-file")


def test_a_credential_of_systemd_is_used_unless_the_setting_names_a_file(tmp_path: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_passphrase(None, environment) is None
    (tmp_path / CREDENTIAL).write_bytes(b"of systemd")
    assert read_passphrase(None, environment) == b"of systemd"
    file = tmp_path / "file"
    file.write_bytes(b"of a file\r\n")
    assert read_passphrase(file, environment) == b"of a file"
    assert read_passphrase(None, {}) is None
