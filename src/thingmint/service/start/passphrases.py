"""Owns the reading of passphrases: from a file, an inherited descriptor, or systemd's credentials."""

import os
from collections.abc import Mapping
from pathlib import Path

from thingmint.core.error_text import in_words
from thingmint.host.given_files import read_given
from thingmint.issuance.keys.private_keys import PassphraseRefused, check_passphrase
from thingmint.settings.config import StartRefused

CREDENTIAL = "thingmint-ca-passphrase"
DESCRIPTOR = "fd:"
"""The prefix of a descriptor's name; a passphrase can be read from it once."""
_MOST_BYTES = 65_536


def read_passphrase(path: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """Return the passphrase of the setting ca_passphrase_file; None if there is none.

    Without the setting, it is the credential `thingmint-ca-passphrase` if systemd has passed one
    (systemd.exec(5), LoadCredential=). Raises StartRefused if it cannot be read or is empty.
    """
    if path is None and "CREDENTIALS_DIRECTORY" in environment:
        credential = Path(environment["CREDENTIALS_DIRECTORY"]) / CREDENTIAL
        path = credential if credential.exists() else None
    return read_passphrase_source(path, "ca_passphrase_file")


def read_passphrase_source(path: Path | None, named_by: str) -> bytes | None:
    """Return the passphrase from a file, or from a descriptor such as ``fd:3``; None without a path.

    Line ends at its end are removed. Raises StartRefused, whose message quotes ``named_by``, also for a passphrase with
    which no key can be sealed.
    """
    if path is None:
        return None
    try:
        passphrase = _read(str(path)).rstrip(b"\r\n")
    except (OSError, ValueError) as error:
        raise StartRefused(f"{named_by} cannot be read: {in_words(error)}") from error
    if not passphrase:
        raise StartRefused(f"{named_by} {path} is empty")
    try:
        check_passphrase(passphrase)
    except PassphraseRefused as error:
        raise StartRefused(f"{named_by} {path} cannot be used: {in_words(error)}") from error
    return passphrase


def _read(path: str) -> bytes:
    if not path.startswith(DESCRIPTOR):
        return read_given(Path(path), _MOST_BYTES)
    # Closed afterwards, so that child processes do not inherit it.
    with os.fdopen(int(path.removeprefix(DESCRIPTOR)), "rb") as opened:
        return opened.read(_MOST_BYTES)
