"""Owns the facts in a log leaf about a certificate. Independent of tables and of the tree."""

import json
from typing import NamedTuple

REVOKED = "REVOKED"
_DELETIONS = frozenset({"DeleteCertificate", "DeleteCACertificate"})
_ACCEPTED = "AcceptCertificateTransfer"
_SOURCE = "source_account"
_DECODER = json.JSONDecoder()
# Every leaf that changes a certificate has its status. No other leaf needs parsing.
_TELLS_STATUS = b'"status":"'
_HAS_STATUS = _TELLS_STATUS.decode()


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


def is_gone(account: str, action: str, facts: dict[str, str]) -> bool:
    """Return whether the account no longer has the certificate."""
    return action in _DELETIONS or (action == _ACCEPTED and account == facts.get(_SOURCE))


def is_of_owner(account: str, action: str, facts: dict[str, str]) -> bool:
    """Return whether the account has the certificate.

    A transfer has a leaf for each of its two accounts. Until it is accepted, the first account has the certificate.
    """
    if _SOURCE not in facts:
        return True
    return account == facts.get("target_account" if action == _ACCEPTED else _SOURCE)


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


def facts_with_status(text: str) -> dict[str, str] | None:
    """Return the facts that a leaf has as this text, if a status is among them."""
    if _HAS_STATUS not in text:
        return None
    facts: dict[str, str] = _DECODER.raw_decode(text)[0]
    return facts if "status" in facts else None


def is_plain_action(action: str) -> bool:
    """Return whether the account still has the certificate after this action, if `is_plain_change` of the facts."""
    return action not in _DELETIONS and action != _ACCEPTED


def is_plain_change(facts: dict[str, str]) -> bool:
    """Return whether the leaf with these facts is that of the certificate's only account."""
    return _SOURCE not in facts
