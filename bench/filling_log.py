"""Owns a log of a given size for measurements: certificates, and leaves that tell of them, as a service writes them."""

import hashlib
from pathlib import Path

import apsw

from thingmint.storage import SQLITE_FILE_NAME

_AUDIT = (
    "INSERT INTO audit (at, account, region, principal_arn, source_address, request_id, action, resource, detail) "
    "VALUES (?, '000000000000', 'us-east-1', 'arn:aws:iam::000000000000:user/administrator', '192.0.2.1', ?, ?, ?, ?)"
)
_CERTIFICATE = (
    "INSERT INTO certificate (account, region, certificate_id, issuer_id, serial_number, status, mode, not_before, "
    "not_after, created_at, modified_at, customer_version, generation_id, der) "
    "VALUES ('000000000000', 'us-east-1', ?, ?, ?, ?, 'DEFAULT', 0, 1, 0, 0, 1, 'generation', ?)"
)
_ISSUER = "ab" * 32
_DER_BYTES = 870
LEAVES_OF_A_CERTIFICATE = 10


def fill(data_directory: Path, leaves: int) -> None:
    """Write audit entries, and certificates as these entries leave them; no service may be running."""
    database = apsw.Connection(str(data_directory / SQLITE_FILE_NAME))
    certificates = leaves // LEAVES_OF_A_CERTIFICATE
    ders = [hashlib.shake_256(b"%d" % number).digest(_DER_BYTES) for number in range(certificates)]
    ids = [hashlib.sha256(der).hexdigest() for der in ders]
    with database:
        for number in range(leaves):
            database.execute(_AUDIT, _entry(number, certificates, ids[number % certificates]))
        last = _status(LEAVES_OF_A_CERTIFICATE - 1)
        for number, (identifier, der) in enumerate(zip(ids, ders, strict=True)):
            database.execute(_CERTIFICATE, (identifier, _ISSUER, f"{number:x}", last, der))
    database.close()


def _entry(number: int, certificates: int, identifier: str) -> tuple[int, str, str, str, str]:
    turn, serial_number = divmod(number, certificates)
    resource = f"arn:aws:iot:us-east-1:000000000000:cert/{identifier}"
    request_id = f"{number:032x}"
    if turn == 0:
        detail = f'{{"status":"{_status(0)}","issuer_id":"{_ISSUER}","serial_number":"{serial_number:x}"}}'
        return number, request_id, "CreateCertificateFromCsr", resource, detail
    detail = f'{{"status":"{_status(turn)}","previous_status":"{_status(turn - 1)}"}}'
    return number, request_id, "UpdateCertificate", resource, detail


def _status(turn: int) -> str:
    return "INACTIVE" if turn % 2 else "ACTIVE"
