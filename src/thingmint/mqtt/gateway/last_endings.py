"""Owns what is remembered of clients that are not connected: when and why their last connections ended."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from thingmint.core.identifiers import Scope, is_thing_name
from thingmint.mqtt.events import DisconnectReason

MOST_ENDINGS: Final = 50_000
"""How many clients of an account are remembered; those that have been gone for longest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Ending:
    """When and why the last connection of a client ended, and what its session was."""

    at: datetime
    reason: DisconnectReason
    keep_alive: int
    is_clean: bool
    session_expiry: int


class LastEndings:
    """The last ending of each client that is not connected, in memory; only of clients that may be called as a thing.

    Each account has a limit of its own, so that no account makes the service forget another's clients.
    """

    def __init__(self, most: int = MOST_ENDINGS) -> None:
        self._most = most
        self._by_account: dict[Scope, dict[str, Ending]] = {}

    def note(self, scope: Scope, client_id: str, ending: Ending) -> None:
        """Remember the ending instead of the client's earlier one."""
        if not is_thing_name(client_id):
            return
        endings = self._by_account.setdefault(scope, {})
        # A client that is named again comes last, as the one that was gone for the shortest time.
        endings.pop(client_id, None)
        endings[client_id] = ending
        if len(endings) > self._most:
            del endings[next(iter(endings))]

    def forget(self, scope: Scope, client_id: str) -> None:
        """Forget the client, which is connected now and may never have been remembered."""
        endings = self._by_account.get(scope, {})
        endings.pop(client_id, None)
        if not endings:
            self._by_account.pop(scope, None)

    def of_client(self, scope: Scope, client_id: str) -> Ending | None:
        """Return the client's last ending; None while it is connected and if nothing is remembered."""
        return self._by_account.get(scope, {}).get(client_id)
