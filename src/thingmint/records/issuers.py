"""Owns the table of issuers. Independent of the database engine."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.core.issuer import IssuerRecord, IssuerStatus, KeyPlace
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps

COLUMNS = (
    "reference, issuer_id, status, key_type, key_place, sealed_key, token_uri, public_key, chain_pem, profile, "
    "created_at, activated_at, retired_at"
)

ISSUERS = (
    f"SELECT {COLUMNS} FROM issuer "  # noqa: S608  the columns are the constants above
    "ORDER BY position"
)

# The columns that a running node compares. Other columns change only together with one of these.
ISSUER_STATES = "SELECT reference, status, key_place, issuer_id FROM issuer ORDER BY position"

INSERT_ISSUER = (
    f"INSERT INTO issuer ({COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING RETURNING position"
)

# The condition decides if two nodes change an issuer at once: the second waits, and then sees another status.
UPDATE_ISSUER = (
    "UPDATE issuer SET issuer_id = $1, status = $2, key_place = $3, sealed_key = $4, public_key = $5, chain_pem = $6, "
    "activated_at = $7, retired_at = $8 WHERE reference = $9 AND status = $10 AND key_place = $11 RETURNING position"
)

DELETE_ISSUER = "DELETE FROM issuer WHERE reference = $1 AND status = $2 RETURNING position"

# Scans the certificates of the issuer, and the revocations, which tell the expiry of deleted certificates. The command
# that needs it is rare.
LAST_END = (
    "SELECT max(not_after) FROM (SELECT not_after FROM certificate WHERE issuer_id = $1 "
    "UNION ALL SELECT not_after FROM revocation WHERE issuer_id = $2) AS issued"
)


class IssuerState(Struct, frozen=True):
    """The columns of an issuer that change with every change of the issuer."""

    reference: str
    status: str
    key_place: str
    issuer_id: str | None


def issuers() -> Steps[Sequence[IssuerRecord]]:
    """Return all issuers, the oldest first."""
    return tuple(map(issuer_of_row, (yield from rows_of(ISSUERS))))


def issuer_states() -> Steps[Sequence[IssuerState]]:
    """Return the states of all issuers, the oldest first."""
    return tuple([IssuerState(*row) for row in (yield from rows_of(ISSUER_STATES))])


def insert_issuer(record: IssuerRecord) -> Steps[bool]:
    """Store a new issuer; return False if it exists already, or if it is active and another issuer is active."""
    inserted = yield from row_of(
        INSERT_ISSUER,
        record.reference,
        record.issuer_id,
        record.status.value,
        record.key_type,
        record.key_place.value,
        record.sealed_key,
        record.token_uri,
        record.public_key,
        record.chain_pem,
        record.profile,
        column_of_time(record.created_at),
        _column_of_optional_time(record.activated_at),
        _column_of_optional_time(record.retired_at),
    )
    return inserted is not None


def update_issuer(before: IssuerRecord, after: IssuerRecord) -> Steps[bool]:
    """Store the changed issuer; return False if another node has changed it meanwhile."""
    updated = yield from row_of(
        UPDATE_ISSUER,
        after.issuer_id,
        after.status.value,
        after.key_place.value,
        after.sealed_key,
        after.public_key,
        after.chain_pem,
        _column_of_optional_time(after.activated_at),
        _column_of_optional_time(after.retired_at),
        before.reference,
        before.status.value,
        before.key_place.value,
    )
    return updated is not None


def delete_issuer(record: IssuerRecord) -> Steps[bool]:
    """Delete the issuer; return False if another node has changed it meanwhile."""
    return (yield from row_of(DELETE_ISSUER, record.reference, record.status.value)) is not None


def last_end(issuer_id: str) -> Steps[datetime | None]:
    """Return the latest expiry of the issuer's certificates, also of deleted ones; None if there are none."""
    row = yield from row_of(LAST_END, issuer_id, issuer_id)
    return _optional_time_of_column(None if row is None else row[0])


def issuer_of_row(row: Row) -> IssuerRecord:
    """Return the issuer of a row."""
    reference, issuer_id, status, key_type, key_place, sealed_key, token_uri, public_key, chain_pem, profile = row[:10]
    created_at, activated_at, retired_at = row[10:]
    return IssuerRecord(
        reference=reference,
        issuer_id=issuer_id,
        status=IssuerStatus(status),
        key_type=key_type,
        key_place=KeyPlace(key_place),
        sealed_key=sealed_key,
        token_uri=token_uri,
        public_key=public_key,
        chain_pem=chain_pem,
        profile=profile,
        created_at=time_of_column(created_at),
        activated_at=_optional_time_of_column(activated_at),
        retired_at=_optional_time_of_column(retired_at),
    )


def _column_of_optional_time(at: datetime | None) -> int | None:
    return None if at is None else column_of_time(at)


def _optional_time_of_column(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else time_of_column(microseconds)
