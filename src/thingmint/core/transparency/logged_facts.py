"""Owns the facts in a log leaf about a certificate. Independent of tables and of the tree."""

import json
from typing import NamedTuple

REVOKED = "REVOKED"
_DELETIONS = frozenset({"DeleteCertificate", "DeleteCACertificate"})
_ACCEPTED = "AcceptCertificateTransfer"
_DECODER = json.JSONDecoder()
# Every leaf that changes a certificate has its status. No other leaf needs parsing.
_TELLS_STATUS = b'"status":"'


class Subject(NamedTuple):
    """A certificate or CA certificate of an account: ``cert/ID`` or ``cacert/ID``."""

    account: str
    region: str
    name: str


class LoggedFacts(NamedTuple):
    """The facts in a leaf about a certificate of its account. ``at`` is in microseconds since 1970."""

    subject: Subject
    action: str
    at: int
    facts: dict[str, str]

    @property
    def is_gone(self) -> bool:
        """Whether the account no longer has the certificate."""
        facts = self.facts
        has_left = self.action == _ACCEPTED and self.subject.account == facts.get("source_account")
        return self.action in _DELETIONS or has_left

    @property
    def is_of_owner(self) -> bool:
        """Whether the account has the certificate.

        A transfer has a leaf for each of its two accounts. Until it is accepted, the first account has the certificate.
        """
        if "source_account" not in self.facts:
            return True
        owner = "target_account" if self.action == _ACCEPTED else "source_account"
        return self.subject.account == self.facts.get(owner)


def facts_in(leaf: bytes) -> LoggedFacts | None:
    """Return the facts in the leaf about a certificate; None if the leaf does not change one."""
    if _TELLS_STATUS not in leaf:
        return None
    told, _ = _DECODER.raw_decode(leaf.decode("ascii"))
    facts = told["facts"]
    certificate_id = facts.get("certificate_id")
    name = f"cert/{certificate_id}" if certificate_id else told["subject"]
    if not name or "status" not in facts:
        return None
    return LoggedFacts(Subject(told["account"], told["region"], name), told["action"], told["at"], facts)
