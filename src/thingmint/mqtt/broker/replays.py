"""Owns the sessions that still have stored messages to send, and their turns: each at most once a second."""

from collections import deque
from collections.abc import Callable

from thingmint.mqtt.broker.session import Session


class Replays:
    """Gives sessions turns. If there are too many for one second, each has a turn before any has a second one."""

    __slots__ = ("_per_turn", "_sessions", "_waiting")

    def __init__(self, per_turn: int) -> None:
        """Let each session send up to ``per_turn`` messages in a turn."""
        self._per_turn = per_turn
        self._sessions: dict[Session, None] = {}
        # The sessions that have not had a turn in this second.
        self._waiting: deque[Session] = deque()

    def begin(self, session: Session) -> None:
        """Let the session send its first stored messages."""
        session.outbox.turn = self._per_turn
        if session.outbox.is_replaying:
            self._sessions[session] = None

    def end(self, session: Session) -> None:
        """Remove the session."""
        self._sessions.pop(session, None)

    def advance(self, now: float, is_over: Callable[[], bool]) -> bool:
        """Give sessions turns until ``is_over``; return whether all have had one. Otherwise the caller calls again."""
        if not self._waiting:
            self._waiting.extend(self._sessions)
        while self._waiting:
            session = self._waiting.popleft()
            if session not in self._sessions:
                continue
            session.outbox.turn = self._per_turn
            session.flush(now)
            if not session.outbox.is_replaying:
                del self._sessions[session]
            if self._waiting and is_over():
                return False
        return True
