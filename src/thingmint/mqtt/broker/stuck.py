"""Owns who is cut off because of messages that it does not take; looks at some clients in each turn of the loop."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from thingmint.mqtt.broker.message_flow import MessageFlow
from thingmint.mqtt.broker.session import Session
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Loss

_BETWEEN_LOOKS: Final = 64


class StuckClients:
    """Ends connections of clients whose queue is full, or room short, and which make no progress."""

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
        # Those that are still to be looked at, since room was short.
        self._suspects: deque[Session] = deque()

    def advance(self, now: float, sessions: Iterable[Session], is_over: Callable[[], bool]) -> bool:
        """Look at the clients that may be stuck; return whether that is done, or has to go on in the next turn.

        ``sessions`` are asked for only after room was short: then every client that has something may be the reason.
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
