"""Secrets that the operator gives in files."""

from pathlib import Path

import pytest

from thingmint.service.start.first_credentials import read_hook_secret
from thingmint.service.start.passphrases import read_passphrase_source
from thingmint.settings.config import StartRefused


def test_a_secret_is_the_files_content_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"s" * 32 + b"\r\n")

    assert read_hook_secret(file) == read_passphrase_source(file, "ca_passphrase_file") == b"s" * 32
    assert read_hook_secret(None) is None
    assert read_passphrase_source(None, "ca_passphrase_file") is None


def test_a_start_is_refused_for_a_secret_that_is_missing_or_too_short(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for read, setting in (
        (read_hook_secret, "hook_secret_file"),
        (lambda path: read_passphrase_source(path, "ca_passphrase_file"), "ca_passphrase_file"),
    ):
        with pytest.raises(StartRefused, match=f"{setting} cannot be read"):
            read(file)
    file.write_bytes(b"\n")
    with pytest.raises(StartRefused, match=r"ca_passphrase_file .* is empty"):
        read_passphrase_source(file, "ca_passphrase_file")
    file.write_bytes(b"s" * 31 + b"\n")
    with pytest.raises(StartRefused, match="at least 32 bytes") as refused:
        read_hook_secret(file)
    assert "sss" not in str(refused.value)
