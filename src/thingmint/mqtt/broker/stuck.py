"""Owns the detection of clients that do not accept their messages. Each is examined when its time limit has passed.

Only clients whose queue is large or full can cause a shortage of memory. Each of them is examined at the end of the
time in which it must make progress. Therefore a client that makes progress is examined once in that time.
"""

from collections.abc import Callable

from thingmint.mqtt.broker.session import Session
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.pacing.due_times import DueTimes


class StuckClients:
    """Ends connections of clients without progress whose queue is full, or large while memory is short."""

    def __init__(
        self, seconds: float, counters: Counters, end_connection: Callable[[Session, ReasonCode], None]
    ) -> None:
        self._seconds = seconds
        self._counters = counters
        self._end_connection = end_connection
        self._due: DueTimes[Session] = DueTimes()
        # When each session is examined; other times in the heap are outdated.
        self._due_at: dict[Session, float] = {}
        # Sessions without progress, which are tolerated while memory is not short.
        self._stalled: dict[Session, None] = {}
        self._was_short = False

    def watch(self, session: Session) -> None:
        """Examine a client with a large or full queue at the end of its time limit for progress."""
        if session.connection is None or session in self._due_at:
            return
        self._stalled.pop(session, None)
        due_at = self._due_at[session] = session.outbox.progress_at + self._seconds
        self._due.add(due_at, session)

    def forget(self, session: Session) -> None:
        """Stop examining a client that has gone."""
        self._due_at.pop(session, None)
        self._stalled.pop(session, None)

    def memory_is_short(self) -> None:
        """Examine the tolerated sessions again."""
        self._was_short = True
        for session in tuple(self._stalled):
            self.watch(session)

    def advance(self, now: float, is_over: Callable[[], bool]) -> bool:
        """Examine the clients that are due; return whether all are done. If not, continue in the next turn."""
        while (due := self._due.next_due(now)) is not None:
            self._look_at(*due, now)
            if is_over():
                return False
        self._was_short = False
        return True

    def _look_at(self, at: float, session: Session, now: float) -> None:
        if self._due_at.get(session) != at:
            return
        del self._due_at[session]
        outbox = session.outbox
        if outbox.progress_at + self._seconds > now:
            if outbox.is_large or outbox.is_full:
                self.watch(session)
        elif outbox.is_full or self._was_short:
            if not session.is_ending:
                self._counters.lost(Loss.SUBSCRIBER_STUCK)
                self._end_connection(session, ReasonCode.QUOTA_EXCEEDED)
        elif outbox.is_large:
            self._stalled[session] = None
