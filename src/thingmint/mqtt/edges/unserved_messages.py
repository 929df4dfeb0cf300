"""Owns the log lines about messages to topics that AWS IoT serves and this service does not, at a limited rate."""

import logging
import time
from collections.abc import Callable

from msgspec import Struct

from thingmint.core.identifiers import PrincipalId
from thingmint.mqtt.events import MessageNotServed

_SAY_EVERY_SECONDS = 60.0
# How many certificates have a count; the one that was logged longest ago is removed first.
_REMEMBERED = 1024

log = logging.getLogger(__name__)


class _Count(Struct):
    last: MessageNotServed
    say_after: float
    unsaid: int = 0

    def say(self) -> None:
        if not self.unsaid:
            return
        log.warning(
            "messages to a topic that AWS IoT serves and this service does not were dropped: %d"
            " (account %s, principal %s, client %s, last topic %s)",
            self.unsaid,
            self.last.link.scope.account,
            self.last.link.principal_id,
            self.last.link.client_id,
            self.last.topic,
        )
        self.unsaid = 0


class UnservedMessages:
    """Writes at most one line a minute for a certificate; each line has the number of messages since the last line."""

    def __init__(
        self, observe: Callable[[int], None] | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Call ``observe`` for each message, so that a counter can be kept."""
        self._observe = observe or (lambda count: None)
        self._monotonic = monotonic
        # In the order in which their minutes end.
        self._counts: dict[PrincipalId, _Count] = {}

    def count(self, event: MessageNotServed) -> None:
        """Count a message; write a line if it is the certificate's first one in a minute."""
        self._observe(1)
        self.advance()
        principal_id = event.link.principal_id
        count = self._counts.get(principal_id)
        if count is None:
            if len(self._counts) >= _REMEMBERED:
                self._forget(next(iter(self._counts)))
            count = self._begin(event)
            count.unsaid = 1
            count.say()
        else:
            count.last = event
            count.unsaid += 1

    def advance(self) -> None:
        """Write the lines of the minutes that are over; called about once a second."""
        now = self._monotonic()
        while self._counts:
            principal_id, count = next(iter(self._counts.items()))
            if count.say_after > now:
                break
            has_more = count.unsaid > 0
            self._forget(principal_id)
            if has_more:
                self._begin(count.last)

    def close(self) -> None:
        """Write counts that are not logged yet."""
        for principal_id in tuple(self._counts):
            self._forget(principal_id)

    def _begin(self, event: MessageNotServed) -> _Count:
        count = _Count(event, self._monotonic() + _SAY_EVERY_SECONDS)
        self._counts[event.link.principal_id] = count
        return count

    def _forget(self, principal_id: PrincipalId) -> None:
        self._counts.pop(principal_id).say()
