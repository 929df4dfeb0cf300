"""Owns what a transaction does with claim certificates and with what proves ownership; knows no SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from thingmint.core.identifiers import CertificateId
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.core.provisioning.ownership import Ownership, OwnershipUse
from thingmint.records.steps import Steps


class ClaimVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def claim_certificate(self, certificate_id: CertificateId) -> Steps[ClaimCertificate | None]:
        """Return the claim certificate of any account, expired or not, or None."""
        ...

    def insert_claim_certificate(self, claim: ClaimCertificate) -> Steps[None]:
        """Store a new claim certificate."""
        ...

    def delete_expired_claims(self, at: datetime, limit: int) -> Steps[int]:
        """Delete up to ``limit`` claim certificates that ended before this time; say how many."""
        ...

    def insert_ownership(self, ownership: Ownership) -> Steps[None]:
        """Note that a token for the certificate was given out."""
        ...

    def ownership_use(self, ownership: Ownership) -> Steps[OwnershipUse | None]:
        """Return what the token was used for; None if no token is noted."""
        ...

    def take_ownership(self, ownership: Ownership, request_digest: str) -> Steps[bool]:
        """Note the request that the token is used for, and hold it; return False if it was used before."""
        ...

    def note_answer(self, ownership: Ownership, sealed_answer: bytes) -> Steps[None]:
        """Note the answer to the request that the token was used for."""
        ...

    def expired_ownerships(self, at: datetime, limit: int) -> Steps[Sequence[Ownership]]:
        """Return up to ``limit`` certificates whose token ended before this time, the longest ended first."""
        ...

    def delete_ownership(self, ownership: Ownership) -> Steps[bool]:
        """Forget that a token was given out; say whether it was noted."""
        ...
