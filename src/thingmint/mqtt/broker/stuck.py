"""Owns the detection of clients that do not accept their messages, some clients in each turn of the event loop."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from thingmint.mqtt.broker.message_flow import MessageFlow
from thingmint.mqtt.broker.session import Session
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Loss

_BETWEEN_LOOKS: Final = 64


class StuckClients:
    """Ends connections of clients that make no progress while their queue is full or memory is short."""

    def __init__(
        self,
        flow: MessageFlow,
        seconds: float,
        counters: Counters,
        end_connection: Callable[[Session, ReasonCode], None],
    ) -> None:
        self._flow = flow
        self._seconds = seconds
        self._counters = counters
        self._end_connection = end_connection
        # The sessions that are still to be examined after memory was short.
        self._suspects: deque[Session] = deque()

    def advance(self, now: float, sessions: Iterable[Session], is_over: Callable[[], bool]) -> bool:
        """Examine the clients that may be stuck; return whether all are done. If not, continue in the next turn.

        ``sessions`` is called only after memory was short: then each client with waiting messages may be the cause.
        """
        flow = self._flow
        for session in tuple(flow.overflowing):
            if self._cut_if_stuck(session, now) or not session.outbox.is_full:
                flow.overflowing.pop(session, None)
        if flow.was_short and not self._suspects:
            flow.was_short = False
            self._suspects.extend(sessions)
        for count in range(1, len(self._suspects) + 1):
            session = self._suspects.popleft()
            if session.connection is not None and session.outbox.size:
                self._cut_if_stuck(session, now)
            if not count % _BETWEEN_LOOKS and is_over():
                return not self._suspects
        return True

    def _cut_if_stuck(self, session: Session, now: float) -> bool:
        if session.outbox.progress_at + self._seconds > now:
            return False
        if not session.is_ending:
            self._counters.lost(Loss.SUBSCRIBER_STUCK)
            self._end_connection(session, ReasonCode.QUOTA_EXCEEDED)
        return True
