"""Owns the tables of claim certificates and of ownership tokens. Independent of the database engine."""

from collections.abc import Sequence
from datetime import datetime

from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, TemplateName
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.core.provisioning.ownership import Ownership, OwnershipUse
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps

CLAIM = (
    "SELECT account, region, template_name, template_generation_id, expires_at FROM claim_certificate "
    "WHERE certificate_id = $1"
)

INSERT_CLAIM = (
    "INSERT INTO claim_certificate "
    "(certificate_id, account, region, template_name, template_generation_id, expires_at) "
    "VALUES ($1, $2, $3, $4, $5, $6)"
)

DELETE_EXPIRED_CLAIMS = (
    "DELETE FROM claim_certificate WHERE certificate_id IN "
    "(SELECT certificate_id FROM claim_certificate WHERE expires_at < $1 ORDER BY expires_at LIMIT $2) "
    "RETURNING certificate_id"
)

INSERT_OWNERSHIP = (
    "INSERT INTO certificate_ownership (certificate_id, account, region, expires_at) VALUES ($1, $2, $3, $4)"
)

# Another request with the same token waits here until this transaction has ended, on any node.
TAKE_OWNERSHIP = (
    "UPDATE certificate_ownership SET request_digest = $1 WHERE certificate_id = $2 AND request_digest IS NULL "
    "RETURNING certificate_id"
)

NOTE_ANSWER = "UPDATE certificate_ownership SET sealed_answer = $1 WHERE certificate_id = $2"

OWNERSHIP_USE = "SELECT request_digest, sealed_answer FROM certificate_ownership WHERE certificate_id = $1"

EXPIRED_OWNERSHIPS = (
    "SELECT certificate_id, account, region, expires_at FROM certificate_ownership "
    "WHERE expires_at < $1 ORDER BY expires_at LIMIT $2"
)

DELETE_OWNERSHIP = "DELETE FROM certificate_ownership WHERE certificate_id = $1 RETURNING certificate_id"


def claim_certificate(certificate_id: CertificateId) -> Steps[ClaimCertificate | None]:
    """Return the claim certificate of any account, expired or not, or None."""
    row = yield from row_of(CLAIM, certificate_id)
    if row is None:
        return None
    account, region, template_name, generation_id, expires_at = row
    scope, name = Scope(AccountId(account), Region(region)), TemplateName(template_name)
    return ClaimCertificate(scope, certificate_id, name, generation_id, time_of_column(expires_at))


def insert_claim_certificate(claim: ClaimCertificate) -> Steps[None]:
    """Store a new claim certificate."""
    scope = claim.scope
    yield from rows_of(
        INSERT_CLAIM,
        claim.certificate_id,
        scope.account,
        scope.region,
        claim.template_name,
        claim.template_generation_id,
        column_of_time(claim.expires_at),
    )


def delete_expired_claims(at: datetime, limit: int) -> Steps[int]:
    """Delete up to ``limit`` claim certificates that expired before this time; return their number."""
    deleted = yield from rows_of(DELETE_EXPIRED_CLAIMS, column_of_time(at), limit)
    return len(deleted)


def insert_ownership(ownership: Ownership) -> Steps[None]:
    """Record that a token for the certificate was issued."""
    scope, expires_at = ownership.scope, column_of_time(ownership.expires_at)
    yield from rows_of(INSERT_OWNERSHIP, ownership.certificate_id, scope.account, scope.region, expires_at)


def ownership_use(ownership: Ownership) -> Steps[OwnershipUse | None]:
    """Return the use of the token; None if there is no record of a token."""
    row = yield from row_of(OWNERSHIP_USE, ownership.certificate_id)
    return None if row is None else OwnershipUse(row[0], row[1])


def take_ownership(ownership: Ownership, request_digest: str) -> Steps[bool]:
    """Record the request that uses the token, and lock the row; return False if the token was used before."""
    return (yield from row_of(TAKE_OWNERSHIP, request_digest, ownership.certificate_id)) is not None


def record_answer(ownership: Ownership, sealed_answer: bytes) -> Steps[None]:
    """Store the answer to the request that used the token."""
    yield from rows_of(NOTE_ANSWER, sealed_answer, ownership.certificate_id)


def expired_ownerships(at: datetime, limit: int) -> Steps[Sequence[Ownership]]:
    """Return up to ``limit`` certificates whose token expired before this time, earliest expiry first."""
    found = yield from rows_of(EXPIRED_OWNERSHIPS, column_of_time(at), limit)
    return tuple(
        [
            Ownership(Scope(AccountId(account), Region(region)), CertificateId(certificate_id), time_of_column(end))
            for certificate_id, account, region, end in found
        ]
    )


def delete_ownership(ownership: Ownership) -> Steps[bool]:
    """Delete the record of a token; return whether it existed."""
    deleted = yield from row_of(DELETE_OWNERSHIP, ownership.certificate_id)
    return deleted is not None
