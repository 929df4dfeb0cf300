"""Owns the reading of all accounts' certificates for a comparison with the log."""

from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from thingmint.core.transparency.logged_facts import Subject
from thingmint.core.transparency.replay import Present
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

_COLUMNS = "position, account, region, certificate_id, status"

CERTIFICATES_FROM = (
    f"SELECT {_COLUMNS}, serial_number, issuer_id, der FROM certificate "  # noqa: S608  the columns are constants
    "WHERE position > $1 ORDER BY position LIMIT $2"
)

CA_CERTIFICATES_FROM = (
    f"SELECT {_COLUMNS}, '', NULL, der FROM ca_certificate "  # noqa: S608  the columns are constants
    "WHERE position > $1 ORDER BY position LIMIT $2"
)


class RegistryRow(Struct, frozen=True):
    """A row of a table of certificates, and its DER."""

    position: int
    present: Present
    der: bytes


def certificates_from(position: int, limit: int) -> Steps[Sequence[RegistryRow]]:
    """Return up to ``limit`` device certificates after the position."""
    rows = yield from rows_of(CERTIFICATES_FROM, position, limit)
    return [_registry_row("cert", *row) for row in rows]


def ca_certificates_from(position: int, limit: int) -> Steps[Sequence[RegistryRow]]:
    """Return up to ``limit`` CA certificates after the position."""
    rows = yield from rows_of(CA_CERTIFICATES_FROM, position, limit)
    return [_registry_row("cacert", *row) for row in rows]


TABLES = (certificates_from, ca_certificates_from)


def _registry_row(
    kind: str,
    position: int,
    account: str,
    region: str,
    certificate_id: str,
    status: str,
    serial_number: str,
    issuer_id: str | None,
    der: bytes,
) -> RegistryRow:
    subject = Subject(account, region, f"{kind}/{certificate_id}")
    return RegistryRow(
        position, Present(subject, status, serial_number, issuer_id, sha256(der).hexdigest()), bytes(der)
    )
