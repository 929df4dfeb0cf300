"""Owns each account's last refusals of devices, in memory and limited, for operators who look for a cause."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice
from typing import Final

from thingmint.api.devices.live_devices import ConnectionFilter, RecentRefusal
from thingmint.core.identifiers import PrincipalId, Scope
from thingmint.mqtt.events import ActionRefused, ConnectRefused, Refused

MOST_OF_AN_ACCOUNT: Final = 1000
MOST_ACCOUNTS: Final = 100
# The length is limited because a device chooses its client id and its topics.
_LONGEST_FIELD: Final = 512


class RecentRefusals:
    """Records refusals, which are lost at a restart.

    Refusals of a device whose account is unknown are shown to the service's own account.
    """

    def __init__(self, own: Scope) -> None:
        self._own = own
        self._of_accounts: OrderedDict[Scope, deque[RecentRefusal]] = OrderedDict()

    def connect_refused(self, event: ConnectRefused) -> None:
        """Record that a CONNECT was refused."""
        refused = event.refused or Refused("iot:Connect", "IMPLICIT_DENY", detail=event.why)
        source = (event.client_id, event.source_address)
        self._note(event.scope or self._own, _shown(refused, event.principal_id, source, event.at))

    def action_refused(self, event: ActionRefused) -> None:
        """Record a refusal on an accepted connection."""
        link = event.link
        source = (link.client_id, link.source_address)
        self._note(link.scope, _shown(event.refused, link.principal_id, source, event.at))

    def accounts(self) -> AbstractSet[Scope]:
        """Return the accounts that have records."""
        return self._of_accounts.keys()

    def forget_account(self, scope: Scope) -> None:
        """Remove all records of the account."""
        self._of_accounts.pop(scope, None)

    def newest(self, scope: Scope, wanted: ConnectionFilter, count: int) -> Sequence[RecentRefusal]:
        """Return up to ``count`` refusals of an account for which ``wanted`` is true, newest first."""
        known = reversed(self._of_accounts.get(scope, deque()))
        return tuple(islice((each for each in known if _is_wanted(each, wanted)), count))

    def _note(self, scope: Scope, refusal: RecentRefusal) -> None:
        """Record a refusal; if full, remove the oldest one of the account, or the account without one for longest."""
        known = self._of_accounts.setdefault(scope, deque(maxlen=MOST_OF_AN_ACCOUNT))
        self._of_accounts.move_to_end(scope)
        known.append(refusal)
        if len(self._of_accounts) > MOST_ACCOUNTS:
            self._of_accounts.popitem(last=False)


def _shown(refused: Refused, principal_id: PrincipalId, source: tuple[str, str], at: datetime) -> RecentRefusal:
    client_id, source_address = source
    return RecentRefusal(
        at=at,
        principal_id=principal_id,
        client_id=_bounded(client_id),
        source_address=source_address,
        action=refused.action,
        reason=refused.reason,
        resource=_bounded(refused.resource),
        policy=refused.policy,
        detail=None if refused.detail is None else _bounded(refused.detail),
    )


def _bounded(text: str) -> str:
    """Return the text, cut if it is long."""
    return text if len(text) <= _LONGEST_FIELD else text[:_LONGEST_FIELD] + "…"


def _is_wanted(refusal: RecentRefusal, wanted: ConnectionFilter) -> bool:
    is_of_certificate = not wanted.certificate_id or refusal.principal_id == wanted.certificate_id
    return is_of_certificate and refusal.client_id.startswith(wanted.client_id_prefix)
