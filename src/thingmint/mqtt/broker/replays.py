"""Owns which sessions still have stored messages to send, and when each may send some more: once a second at most."""

from collections import deque
from collections.abc import Callable

from thingmint.mqtt.broker.session import Session


class Replays:
    """Gives each session its turn. Where there are too many for a second, each has one before any has the next."""

    __slots__ = ("_per_turn", "_sessions", "_waiting")

    def __init__(self, per_turn: int) -> None:
        """Let each session send so many messages in a turn."""
        self._per_turn = per_turn
        self._sessions: dict[Session, None] = {}
        # Those whose turn has not come in this second.
        self._waiting: deque[Session] = deque()

    def begin(self, session: Session) -> None:
        """Let the session send the first of its stored messages."""
        session.outbox.turn = self._per_turn
        if session.outbox.is_replaying:
            self._sessions[session] = None

    def end(self, session: Session) -> None:
        """Forget the session."""
        self._sessions.pop(session, None)

    def advance(self, now: float, is_over: Callable[[], bool]) -> bool:
        """Give each session a turn until ``is_over``; return whether all have had one, or call it again."""
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
