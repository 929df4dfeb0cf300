"""Owns the examination of a data directory and its disk, whether or not a service runs on it."""

import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from thingmint.core.error_text import in_words
from thingmint.data_directory.authorities import ISSUING, ROOT, RSA_SERVICE, SERVICE
from thingmint.data_directory.certificate_files import (
    AuthorityUnusable,
    certificate_path,
    is_sealed,
    read_certificate,
)
from thingmint.data_directory.handover import CREDENTIALS
from thingmint.data_directory.retired_issuers import destroyed_path, retired_issuers
from thingmint.issuance.authorities.issuing_ca import issuer_id_of

_LITTLE_SPACE_BYTES = 512 * 1024 * 1024
_EXPIRES_SOON = timedelta(days=365)


class Verdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(Struct, frozen=True):
    """One line of the report."""

    verdict: Verdict
    text: str


def findings_of_directory(data_dir: Path) -> Iterator[Finding]:
    """Yield the findings on the keys, certificates and disk of a data directory."""
    yield from findings_of_files(data_dir)
    yield from findings_of_certificates(data_dir)
    yield space_left(data_dir)


def findings_of_certificates(data_dir: Path) -> list[Finding]:
    """Return the findings on the certificates of a data directory, each once."""
    return list(dict.fromkeys((*_certificates(data_dir), *_retired(data_dir))))


def findings_of_files(data_dir: Path) -> Iterator[Finding]:
    """Yield the findings on files that hold secrets."""
    keys = sorted((data_dir / "keys").rglob("*.key"))
    for path in (*keys, data_dir / CREDENTIALS):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(Verdict.WRONG, f"{path} can be read by others: chmod 600 {path}")
    unsealed = [path for path in keys if not is_sealed(path.read_bytes())]
    for path in keys:
        if path not in unsealed:
            yield Finding(Verdict.OK, f"{path} is sealed by a passphrase")
    if unsealed:
        names = ", ".join(str(path.relative_to(data_dir)) for path in unsealed)
        yield Finding(Verdict.WARNING, f"not sealed: {names}; `thingmint seal` seals keys by a passphrase")


def _certificates(data_dir: Path) -> Iterator[Finding]:
    # A directory of an older version does not have this one before the next start.
    newer = (RSA_SERVICE,) if certificate_path(data_dir, RSA_SERVICE).exists() else ()
    # The key of the first issuer may have been destroyed. The issuers in the database are examined elsewhere.
    first = () if destroyed_path(data_dir).exists() else (ISSUING,)
    for name in (ROOT, *first, SERVICE, *newer):
        try:
            certificate = read_certificate(certificate_path(data_dir, name))
        except AuthorityUnusable as error:
            yield Finding(Verdict.WRONG, in_words(error))
            continue
        if certificate is None:
            yield Finding(Verdict.WRONG, f"{certificate_path(data_dir, name)} is missing")
            continue
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        verdict = Verdict.WRONG if left <= timedelta() else Verdict.WARNING if left < _EXPIRES_SOON else Verdict.OK
        yield Finding(verdict, f"{name} is valid until {certificate.not_valid_after_utc:%Y-%m-%d}")


def _retired(data_dir: Path) -> Iterator[Finding]:
    try:
        active = read_certificate(certificate_path(data_dir, ISSUING))
        for retired in retired_issuers(data_dir, active):
            end = retired.certificate.not_valid_after_utc
            said = "was valid until" if end < datetime.now(UTC) else "is trusted until"
            yield Finding(Verdict.OK, f"retired issuer {issuer_id_of(retired.certificate)} {said} {end:%Y-%m-%d}")
    except AuthorityUnusable as error:
        yield Finding(Verdict.WRONG, in_words(error))


def space_left(data_dir: Path) -> Finding:
    """Return the finding on the free space of the disk."""
    free = shutil.disk_usage(data_dir).free
    verdict = Verdict.WARNING if free < _LITTLE_SPACE_BYTES else Verdict.OK
    return Finding(verdict, f"{free // (1024 * 1024)} MiB are free on the disk of {data_dir}")
