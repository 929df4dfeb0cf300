"""Owns the detection of clients that do not accept their messages. Each is examined when its time is over.

Only clients whose queue is large or full can be the reason why room is short. Each of them is looked at when it has
made no progress for so long that it may be cut: a client that goes on costs one look in that time.
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
        # When each is looked at; other times in the heap are outdated.
        self._due_at: dict[Session, float] = {}
        # Those that make no progress and harm nobody as long as there is room.
        self._stalled: dict[Session, None] = {}
        self._was_short = False

    def watch(self, session: Session) -> None:
        """Look at a client whose queue is large or full when it has made no progress for too long."""
        if session.connection is None or session in self._due_at:
            return
        self._stalled.pop(session, None)
        due_at = self._due_at[session] = session.outbox.progress_at + self._seconds
        self._due.add(due_at, session)

    def forget(self, session: Session) -> None:
        """Look at the client no more: it has gone."""
        self._due_at.pop(session, None)
        self._stalled.pop(session, None)

    def room_is_short(self) -> None:
        """Look again at those that have harmed nobody so far."""
        self._was_short = True
        for session in tuple(self._stalled):
            self.watch(session)

    def advance(self, now: float, is_over: Callable[[], bool]) -> bool:
        """Look at the clients that are due; return whether that is done, or has to go on in the next turn."""
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
