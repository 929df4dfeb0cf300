"""Owns the device edge as a whole: the gateway, its connection to the registry, its listeners, its start and stop."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from OpenSSL import SSL

from thingmint.api.devices.device_api import DeviceApi
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.identifiers import Scope
from thingmint.core.principals import Watched
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.edges.connected_devices import ConnectedDevices
from thingmint.mqtt.edges.device_calls import DeviceCalls
from thingmint.mqtt.edges.operator_edge import OperatorEdges
from thingmint.mqtt.edges.recent_refusals import RecentRefusals
from thingmint.mqtt.edges.registered_devices import RegisteredDevices
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.long_lived import LongLivedObjects
from thingmint.registration.access.accounts import is_known
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.service.devices.deleted_accounts import DeletedAccounts
from thingmint.service.devices.device_changes import DeviceChanges
from thingmint.service.devices.device_event_publisher import DeviceEventPublisher
from thingmint.service.nodes.membership import Membership
from thingmint.service.nodes.nodes import Nodes
from thingmint.storage.dialect import CHANGES_CHANNEL, MESSAGES_CHANNEL, NODES_CHANNEL

if TYPE_CHECKING:
    from thingmint.mqtt.relay.brokers.account_broker import AccountBroker

log = logging.getLogger(__name__)


class DeviceAddress(Struct, frozen=True):
    """Where the gateway listens, and whether it may choose another port if this one is taken.

    ``alpn`` is a second host and port, for SDKs that select MQTT by ALPN; one gateway listens on both. Other workers
    may listen on the same ports.
    """

    host: str
    port: int
    is_default: bool
    alpn: tuple[str, int] | None = None
    is_shared: bool = False


class DeviceEdge:
    """Serves devices of one registry."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        scope: Scope,
        *,
        address: DeviceAddress,
        tls_context: SSL.Context,
        data_plane: DataPlane,
        brokers: "Callable[[], Sequence[AccountBroker]]" = tuple,
        limits: GatewayLimits,
        observe_connections: Callable[[int], None],
        counters: Counters | None = None,
        observe_refusal: Callable[[str, str], None] = lambda action, reason: None,
        observe_turned_away: Callable[[int], None] | None = None,
        proxies: TrustedProxies | None = None,
        observe_unserved: Callable[[int], None] | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Serve devices, as one of the nodes of a database if there is a membership."""
        self._authority = authority
        self._tls_context = tls_context
        self._address = address
        self._data_plane = data_plane
        self._brokers = brokers
        self._limits = limits
        self._observe_connections = observe_connections
        self._counters = counters
        self._observe_turned_away = observe_turned_away
        self._proxies = proxies
        self._calls = DeviceCalls(DeviceApi(authority))
        self._long_lived = LongLivedObjects()
        watch: ChangeWatch[Watched] = ChangeWatch(authority.store)
        refusals = RecentRefusals(scope)
        self._publisher = DeviceEventPublisher(
            authority, self._tell, observe_refusal, observe_unserved, refusals, self._has_listeners
        )
        self._devices = RegisteredDevices(authority, scope, watch, self._publisher)
        deleted = DeletedAccounts(
            partial(_exists, authority),
            scope,
            watch,
            data_plane.kept_here,
            lambda: (self._gateway.last_endings, refusals),
        )
        self._changes = DeviceChanges(
            authority, watch, self._devices, deleted, lambda: self._gateway, self._each_second
        )
        # Read it from here each time: if the port is taken, another gateway replaces this one.
        self._gateway = self._new_gateway(address.port)
        self._membership = membership
        self._nodes = None if membership is None else self._new_nodes(membership)
        others = None if self._nodes is None else self._nodes.reach
        self._for_operators = OperatorEdges(lambda: self._gateway, data_plane, authority.clock, others)
        self._live = ConnectedDevices(lambda: self._gateway, data_plane, refusals, authority.new_generation_id)

    @property
    def port(self) -> int:
        """The port that devices connect to."""
        return self._gateway.port

    @property
    def alpn_port(self) -> int | None:
        """The second port, if there is one."""
        return None if self._address.alpn is None else self._gateway.ports[1]

    @property
    def is_listening(self) -> bool:
        """Whether devices can connect. Open connections do not depend on it."""
        return self._gateway.is_listening

    @property
    def gateway(self) -> Gateway:
        """The gateway in use."""
        return self._gateway

    @property
    def devices(self) -> RegisteredDevices:
        """The lookup of devices in the registry, for every port on which they authenticate with certificates."""
        return self._devices

    @property
    def for_operators(self) -> OperatorEdges:
        """The API's access to messages and connections, for the devices of each account."""
        return self._for_operators

    @property
    def live(self) -> ConnectedDevices:
        """The operators' view of the connections to this node."""
        return self._live

    @property
    def nodes_alive(self) -> int:
        """The number of nodes that serve the database, this one included."""
        return 1 if self._membership is None else 1 + len(self._membership.others)

    @property
    def node_id(self) -> str:
        """The id of this node among those of the database, empty if it is alone."""
        return "" if self._membership is None else self._membership.node_id

    @property
    def brokers(self) -> "Sequence[AccountBroker]":
        """The brokers behind the relay that accounts have used; none with the built-in broker."""
        return self._brokers()

    @property
    def wakers(self) -> Mapping[str, Callable[[], None]]:
        """The function to call at a notification of the database, by the notification's channel."""
        if self._nodes is None:
            return {}
        return {
            CHANGES_CHANNEL: self._changes.wake,
            MESSAGES_CHANNEL: self._nodes.mailbox.wake,
            NODES_CHANNEL: self._nodes.nodes_changed,
        }

    async def start(self) -> None:
        """Listen and serve; raise OSError if the address is taken, unless it is the default one."""
        if self._nodes is None:
            await self._listen()
        else:
            await self._nodes.start()
            try:
                await self._listen()
            except OSError:
                await self._nodes.stop()
                raise
        self._changes.start()

    async def _listen(self) -> None:
        try:
            await self._gateway.start()
        except OSError:
            if not self._address.is_default:
                raise
            # A developer may run two services on one machine. Devices find the port in endpoints.json.
            log.warning("port %d is taken: devices connect to another one", self._address.port)
            self._gateway = self._new_gateway(0)
            await self._gateway.start()

    async def stop(self, grace: float) -> None:
        """Disconnect all devices, for which they get ``grace`` seconds, and stop."""
        await self._changes.stop()
        await self._gateway.stop(grace)
        if self._nodes is not None:
            await self._nodes.stop()
        self._publisher.close()

    def recorded(self, entry: AuditEntry) -> None:
        """Do nothing: devices learn of a change from the feed of changes."""

    def happened(self, event: RegistryEvent) -> None:
        """Publish a registry event for which the account has events enabled."""
        self._publisher.happened(event)

    def touched(self) -> None:
        """Check for changes now, because this node has committed one."""
        self._changes.wake()

    def use_tls_context(self, context: SSL.Context) -> None:
        """Use another server certificate for new connections."""
        self._tls_context = context
        self._gateway.use_tls_context(context)

    def _new_nodes(self, membership: Membership) -> Nodes:
        nodes = Nodes(
            self._authority,
            membership,
            lambda: self._gateway,
            self._devices,
            self._data_plane,
            self._counters or Counters(),
            self._changes.begin_anew,
        )
        self._publisher.elsewhere = nodes
        return nodes

    def _new_gateway(self, port: int) -> Gateway:
        return Gateway(
            host=self._address.host,
            port=port,
            also=() if self._address.alpn is None else (self._address.alpn,),
            tls_context=self._tls_context,
            registry=self._devices,
            responder=self._calls,
            data_plane=self._data_plane,
            events=self._publisher,
            clock=self._authority.clock,
            limits=self._limits,
            observe_connections=self._observe_connections,
            counters=self._counters,
            observe_accepted=self._long_lived.came,
            observe_kept=self._long_lived.kept,
            observe_turned_away=self._observe_turned_away,
            shares_ports=self._address.is_shared,
            proxies=self._proxies,
        )

    def _tell(self, scope: Scope, topic: str, payload: bytes) -> None:
        self._gateway.publish_event(scope, topic, payload)

    def _has_listeners(self, scope: Scope) -> bool:
        return self._gateway.has_listeners(scope)

    def _each_second(self) -> None:
        self._publisher.advance()
        self._long_lived.advance(self._gateway.connected_devices)


async def _exists(authority: RegistrationAuthority, account: Scope) -> bool:
    """Return whether the account exists, or may be used without being created."""
    return authority.administrator is None or await is_known(authority.store, account)
