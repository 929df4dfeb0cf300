"""Owns the states of certificates by the leaves after a backup. Independent of tables and of the tree."""

import json
from collections import Counter
from dataclasses import dataclass

from thingmint.core.transparency.logged_facts import REVOKED, Subject, facts_in, is_gone, is_of_owner

# A device can connect with these statuses.
_RIGHTS = frozenset({"ACTIVE", "PENDING_ACTIVATION"})


@dataclass(frozen=True, slots=True)
class LaterState:
    """A certificate's last status (None if it was deleted), and its time in microseconds since 1970.

    ``was_revoked`` is true if any leaf revokes it, because a revoked certificate stays revoked. Unless
    ``is_believed``, only leaves that no signed checkpoint covers tell of it, so all that is known is that it may exist.
    """

    status: str | None
    was_revoked: bool
    at: int
    serial_number: str | None
    issuer_id: str | None
    is_believed: bool = True


class LogTail:
    """Applies leaves in their order. A leaf that no signed checkpoint covers can take rights away but not give any."""

    def __init__(self) -> None:
        self.states: dict[Subject, LaterState] = {}
        self.other_actions: Counter[str] = Counter()
        """How often each action occurred whose leaves have too few facts to repeat it."""
        self.not_believed = 0
        """How many leaves would give a right back but are not covered by a signed checkpoint."""
        self.issuer_ids: set[str] = set()
        """The issuers that the leaves name."""

    def apply(self, leaf: bytes, *, is_covered: bool) -> bool:
        """Apply the next leaf; return whether it tells of a certificate. Raise ValueError if it is not a leaf."""
        told = facts_in(leaf)
        if told is not None:
            self.issuer_ids.add(told.facts.get("issuer_id", ""))
        if told is None:
            other = json.loads(leaf)
            self.other_actions[str(other["action"])] += 1
            self.issuer_ids.add(str(other["facts"].get("issuer_id", "")))
        elif is_gone(told.subject.account, told.action, told.facts):
            self._set(told.subject, None, told.at, told.facts)
        elif is_of_owner(told.subject.account, told.action, told.facts):
            status = told.facts["status"]
            is_believed = is_covered or status not in _RIGHTS
            present = self.states.get(told.subject)
            if is_believed or present is None or not present.is_believed:
                self._set(told.subject, status, told.at, told.facts, is_believed=is_believed)
            else:
                self.not_believed += 1
        return told is not None

    def _set(
        self, subject: Subject, status: str | None, at: int, facts: dict[str, str], *, is_believed: bool = True
    ) -> None:
        before = self.states.get(subject)
        is_revoked = before is not None and before.was_revoked
        now_revoked = status == REVOKED or (status is None and facts.get("status") == REVOKED)
        self.states[subject] = LaterState(
            status=status,
            was_revoked=is_revoked or now_revoked,
            at=before.at if before is not None and is_revoked else at,
            serial_number=facts.get("serial_number") or (before.serial_number if before else None),
            issuer_id=facts.get("issuer_id") or (before.issuer_id if before else None),
            is_believed=is_believed,
        )
