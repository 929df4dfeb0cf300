"""Owns what leaves behind the end of a backup tell of certificates; knows neither tables nor the tree."""

import json
from collections import Counter
from dataclasses import dataclass

from thingmint.core.transparency.told import REVOKED, Subject, told_by

# With these a device may connect.
_RIGHTS = frozenset({"ACTIVE", "PENDING_ACTIVATION"})


@dataclass(frozen=True, slots=True)
class LaterState:
    """What has become of a certificate: its last status, None if it was deleted, and when, in microseconds since 1970.

    ``was_revoked`` is true if any leaf says so: what was revoked once stays revoked.
    """

    status: str | None
    was_revoked: bool
    at: int
    serial_number: str | None
    issuer_id: str | None


class LogTail:
    """Takes leaves in their order. Those that no signed checkpoint covers may take rights away, and give none."""

    def __init__(self) -> None:
        self.states: dict[Subject, LaterState] = {}
        self.other_actions: Counter[str] = Counter()
        """How often what was done that leaves tell too little of to do it again."""
        self.not_believed = 0
        """How many leaves would give a right, and are not covered by a signed checkpoint."""

    def apply(self, leaf: bytes, *, is_covered: bool) -> None:
        """Take the next leaf; raise ValueError if it is none."""
        told = told_by(leaf)
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
