"""Owns the states of certificates by the leaves after a backup. Independent of tables and of the tree."""

import json
from collections import Counter
from dataclasses import dataclass

from thingmint.core.transparency.logged_facts import REVOKED, Subject, facts_in

# A device can connect with these statuses.
_RIGHTS = frozenset({"ACTIVE", "PENDING_ACTIVATION"})


@dataclass(frozen=True, slots=True)
class LaterState:
    """A certificate's last status (None if it was deleted), and its time in microseconds since 1970.

    ``was_revoked`` is true if any leaf revokes it, because a revoked certificate stays revoked.
    """

    status: str | None
    was_revoked: bool
    at: int
    serial_number: str | None
    issuer_id: str | None


class LogTail:
    """Applies leaves in their order. A leaf that no signed checkpoint covers can take rights away but not give any."""

    def __init__(self) -> None:
        self.states: dict[Subject, LaterState] = {}
        self.other_actions: Counter[str] = Counter()
        """How often each action occurred whose leaves have too few facts to repeat it."""
        self.not_believed = 0
        """How many leaves would give a right but are not covered by a signed checkpoint."""

    def apply(self, leaf: bytes, *, is_covered: bool) -> None:
        """Apply the next leaf; raise ValueError if it is not a leaf."""
        told = facts_in(leaf)
        if told is None:
            self.other_actions[str(json.loads(leaf)["action"])] += 1
        elif told.is_gone:
            self._set(told.subject, None, told.at, told.facts)
        elif told.is_of_owner:
            status = told.facts["status"]
            if status in _RIGHTS and not is_covered:
                self.not_believed += 1
            else:
                self._set(told.subject, status, told.at, told.facts)

    def _set(self, subject: Subject, status: str | None, at: int, facts: dict[str, str]) -> None:
        before = self.states.get(subject)
        is_revoked = before is not None and before.was_revoked
        now_revoked = status == REVOKED or (status is None and facts.get("status") == REVOKED)
        self.states[subject] = LaterState(
            status=status,
            was_revoked=is_revoked or now_revoked,
            at=before.at if before is not None and is_revoked else at,
            serial_number=facts.get("serial_number") or (before.serial_number if before else None),
            issuer_id=facts.get("issuer_id") or (before.issuer_id if before else None),
        )
