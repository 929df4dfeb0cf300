"""Owns the records of disconnected clients: when and why their last connections ended."""

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from msgspec import Struct

from thingmint.core.identifiers import Scope, is_thing_name
from thingmint.mqtt.events import DisconnectReason

MOST_ENDINGS: Final = 50_000
"""How many clients of an account have a record; the record of the longest disconnected client is removed first."""


class Ending(Struct, frozen=True):
    """When and why the last connection of a client ended, and what its session was."""

    at: datetime
    reason: DisconnectReason
    keep_alive: int
    is_clean: bool
    session_expiry: int


class LastEndings:
    """The last ending of each disconnected client, in memory; only for client ids that are valid thing names.

    Each account has a separate limit, so that no account can displace another account's records.
    """

    def __init__(self, most: int = MOST_ENDINGS) -> None:
        self._most = most
        self._by_account: dict[Scope, dict[str, Ending]] = {}

    def record(self, scope: Scope, client_id: str, ending: Ending) -> None:
        """Record the ending, and replace the client's earlier one."""
        if not is_thing_name(client_id):
            return
        endings = self._by_account.setdefault(scope, {})
        # A client that is named again comes last, as the one that was gone for the shortest time.
        endings.pop(client_id, None)
        endings[client_id] = ending
        if len(endings) > self._most:
            del endings[next(iter(endings))]

    def forget(self, scope: Scope, client_id: str) -> None:
        """Remove the record of the client, if there is one, because it is connected now."""
        endings = self._by_account.get(scope, {})
        endings.pop(client_id, None)
        if not endings:
            self._by_account.pop(scope, None)

    def accounts(self) -> AbstractSet[Scope]:
        """Return the accounts that have records."""
        return self._by_account.keys()

    def forget_account(self, scope: Scope) -> None:
        """Remove all records of the account."""
        self._by_account.pop(scope, None)

    def of_client(self, scope: Scope, client_id: str) -> Ending | None:
        """Return the client's last ending; None while it is connected, and if there is no record."""
        return self._by_account.get(scope, {}).get(client_id)
