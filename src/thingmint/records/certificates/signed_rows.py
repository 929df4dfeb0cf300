"""Owns the reading of all accounts' certificates for the verification of their signatures."""

from collections.abc import Sequence
from typing import NamedTuple

from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

SIGNED_ROWS = (
    "SELECT position, certificate_id, der, issuer_id, ca_certificate_id FROM certificate "
    "WHERE position > $1 ORDER BY position LIMIT $2"
)

CA_DERS = "SELECT der FROM ca_certificate ORDER BY position"

COUNT = "SELECT count(*) FROM certificate"


class SignedRow(NamedTuple):
    """A certificate and its signer: an issuer of the service, a registered CA, or neither."""

    position: int
    certificate_id: str
    der: bytes
    issuer_id: str | None
    ca_certificate_id: str | None


def signed_rows(position: int, limit: int) -> Steps[Sequence[SignedRow]]:
    """Return up to ``limit`` certificates after the position."""
    return [SignedRow(*row) for row in (yield from rows_of(SIGNED_ROWS, position, limit))]


def ca_ders() -> Steps[Sequence[bytes]]:
    """Return the DER of every registered CA certificate."""
    return [bytes(der) for (der,) in (yield from rows_of(CA_DERS))]


def count_certificates() -> Steps[int]:
    """Count the certificates of all accounts."""
    ((count,),) = yield from rows_of(COUNT)
    return int(count)
