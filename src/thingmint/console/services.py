"""Owns the services that pages use: operations, sessions, connected devices, and facts about the node."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from thingmint.api.devices.live_devices import LiveDevices
from thingmint.api.wire.calls import Calls, Quotas
from thingmint.console.live import Live
from thingmint.core.identifiers import AccountId
from thingmint.core.operational_log import OperationalLog
from thingmint.registration.access.console_sessions import ConsoleSessions
from thingmint.registration.kernel.authority import RegistrationAuthority

# The first segment of the paths of all pages.
PREFIX: Final = b"/console"
# Actions in policies for pages without an operation of AWS IoT. The resource is always ``*``.
READ_STATUS: Final = "thingmint:ReadStatus"
READ_AUDIT: Final = "thingmint:ReadAudit"
READ_SETTINGS: Final = "thingmint:ReadSettings"
READ_LOG: Final = "thingmint:ReadLog"
LIST_CONNECTIONS: Final = "thingmint:ListConnections"


class Labelled(Struct, frozen=True):
    """A number and what it counts."""

    label: str
    count: int


class NodeNumbers(Struct, frozen=True):
    """Counters of a node since its start. Times are seconds; the mean wait is None before a caller has waited."""

    api_connections: int
    device_connections: int
    key_reserve: int
    waiting_for_keys: int
    mean_key_wait: float | None
    throttled: Sequence[Labelled]
    refusals: Sequence[Labelled]


class AuthorityShown(Struct, frozen=True):
    """A certificate of the service: a root, an issuer, or one of the server."""

    name: str
    subject: str
    certificate_id: str
    not_before: datetime
    not_after: datetime
    pem: str


class RevocationListShown(Struct, frozen=True):
    """The newest revocation list of an issuer, and the public path of its DER encoding."""

    issuer_id: str
    part: str
    number: int
    entries: int
    this_update: datetime
    next_update: datetime
    path: str


class LogShown(Struct, frozen=True):
    """The verifiable log: its signed checkpoint, the number of its leaves, and the key that verifies it."""

    checkpoint: str
    size: int
    key: str


class NodeShown(Struct, frozen=True):
    """A process that serves the database; ``different`` names the settings that this node has otherwise."""

    name: str
    version: str
    data_plane: str
    started_at: datetime
    seen_at: datetime
    different: Sequence[str]
    is_this: bool


class BrokerShown(Struct, frozen=True):
    """A broker behind the relay: its addresses, those that do not answer, and what it lacks of AWS IoT's features.

    ``version`` is the version of MQTT, None until the broker has answered.
    """

    account: AccountId
    addresses: str
    version: str | None
    missing: Sequence[str]
    away: Sequence[str]


class NodeFinding(Struct, frozen=True):
    """One finding about the node; the verdict is ``ok``, ``warning`` or ``wrong``."""

    verdict: str
    text: str


class SettingShown(Struct, frozen=True):
    """A setting in force; secrets are not shown."""

    group: str
    name: str
    value: str
    source: str
    meaning: str


class NodeFacts(Protocol):
    """Facts about this node."""

    def numbers(self) -> NodeNumbers:
        """Return the counters of the node."""
        ...

    def authorities(self) -> Sequence[AuthorityShown]:
        """Return the certificates of the service: roots, issuers, the server's."""
        ...

    async def revocation_lists(self) -> Sequence[RevocationListShown]:
        """Return the newest list of each issuer and part."""
        ...

    async def log(self) -> LogShown:
        """Return the state of the verifiable log; raise ResourceNotFound if there is none yet."""
        ...

    async def proofs(self, arn: str) -> str:
        """Return a proof for each leaf of a resource, as text; raise ResourceNotFound if the log has none."""
        ...

    async def nodes(self) -> Sequence[NodeShown]:
        """Return the nodes of the database, the oldest first; none if the registry serves one node only."""
        ...

    def brokers(self) -> Sequence[BrokerShown]:
        """Return the brokers behind the relay that this node has used; none with the built-in broker."""
        ...

    async def findings(self) -> Sequence[NodeFinding]:
        """Return the findings about the node; they may be a minute old."""
        ...

    def settings(self) -> Sequence[SettingShown]:
        """Return the settings in force."""
        ...


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    """The services that pages use.

    ``own_account`` is the account of the service: its callers see what concerns all accounts. ``sign_in_limits`` take
    an address or an access key id in place of an account. ``observe`` counts a request by its error (empty for
    success) and its duration in seconds.
    """

    calls: Calls
    authority: RegistrationAuthority
    sessions: ConsoleSessions
    devices: LiveDevices
    node: NodeFacts
    own_account: AccountId
    sign_in_limits: Quotas
    log: OperationalLog
    observe: Callable[[str, float], None] = field(repr=False)
    new_request_id: Callable[[], str] = field(repr=False)
    version: str = ""
    live: Live = field(default_factory=Live)
