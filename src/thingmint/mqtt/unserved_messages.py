"""Owns the log of messages to topics that AWS IoT serves and this service does not: a line now and then."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from thingmint.core.identifiers import CertificateId
from thingmint.mqtt.events import MessageNotServed

_SAY_EVERY_SECONDS = 60.0
# Certificates whose count is kept; the one that was logged longest ago is forgotten first.
_REMEMBERED = 1024

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Count:
    unsaid: int = 0
    say_after: float = -math.inf


class UnservedMessages:
    """Writes at most one line a minute for a certificate; each line counts the messages since the last."""

    def __init__(
        self, observe: Callable[[int], None] | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Tell ``observe`` of each message, for a counter."""
        self._observe = observe or (lambda count: None)
        self._monotonic = monotonic
        self._counts: dict[CertificateId, _Count] = {}

    def note(self, event: MessageNotServed) -> None:
        """Count a message, and write a line if the last one is long enough ago."""
        self._observe(1)
        certificate_id = event.link.certificate_id
        count = self._counts.get(certificate_id)
        if count is None:
            if len(self._counts) >= _REMEMBERED:
                del self._counts[next(iter(self._counts))]
            count = self._counts[certificate_id] = _Count()
        count.unsaid += 1
        if self._monotonic() < count.say_after:
            return
        log.warning(
            "messages to a topic that AWS IoT serves and this service does not were dropped: %d"
            " (account %s, certificate %s, client %s, last topic %s)",
            count.unsaid,
            event.link.scope.account,
            certificate_id,
            event.link.client_id,
            event.topic,
        )
        del self._counts[certificate_id]
        self._counts[certificate_id] = _Count(say_after=self._monotonic() + _SAY_EVERY_SECONDS)
