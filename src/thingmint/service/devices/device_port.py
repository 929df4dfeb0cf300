"""Owns the construction of a node's device edge: its addresses, its data plane, and its metrics."""

import socket
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from thingmint import __version__
from thingmint.core.identifiers import Scope
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.host.service_log import service_log
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.metrics import BrokerMetrics
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.registration.kernel.ports import Store
from thingmint.service.devices.connection_limits import broker_limits
from thingmint.service.devices.device_edge import DeviceAddress, DeviceEdge
from thingmint.service.node import OpenNode
from thingmint.service.nodes.membership import Membership, NodeDescription
from thingmint.service.nodes.settings_comparison import comparable_settings
from thingmint.settings.broker_forms import LOCAL
from thingmint.settings.config import Config

if TYPE_CHECKING:
    from thingmint.mqtt.relay.brokers.account_broker import AccountBroker


def device_edge(node: OpenNode, limits: GatewayLimits, heartbeats: Store | None) -> DeviceEdge:
    """Return the edge, which does not listen yet; raise StartRefused if a broker cannot be used.

    ``heartbeats`` is the store that the node's membership uses, None on SQLite.
    """
    config, scope, metrics = node.config, node.registry.scope, node.metrics
    metrics.nodes(1)
    counters = Counters(BrokerMetrics(metrics.registry))
    data_plane, brokers = _data_plane(config, scope, counters)
    return DeviceEdge(
        node.authority,
        scope,
        address=_address(config, is_shared=node.worker is not None),
        tls_context=node.identity.device_context,
        data_plane=data_plane,
        brokers=brokers,
        limits=limits,
        observe_connections=metrics.device_connections,
        counters=counters,
        observe_refusal=metrics.device_refused,
        observe_turned_away=metrics.device_connections_turned_away,
        proxies=TrustedProxies(config.proxy_protocol, partial(metrics.proxy_headers_refused, "devices")),
        observe_unserved=metrics.unserved_messages,
        membership=None if heartbeats is None else _membership(node, heartbeats),
    )


def _membership(node: OpenNode, store: Store) -> Membership:
    """Return the node's membership among the nodes of a PostgreSQL database."""
    config = node.config
    suffix = "" if node.worker is None else f" (worker {node.worker.number})"
    introduction = NodeDescription(
        f"{socket.gethostname()}:{config.data_dir.resolve()}{suffix}",
        __version__,
        config.mqtt_data_plane,
        comparable_settings(config),
    )
    return Membership(store, introduction, lambda: str(uuid.uuid4()), service_log, node.metrics.nodes)


def _address(config: Config, *, is_shared: bool) -> DeviceAddress:
    alpn = None if config.mqtt_alpn is None else (config.mqtt_alpn.host, config.mqtt_alpn.port)
    if is_shared:
        # The parent process of the workers has reserved the ports.
        return DeviceAddress(config.mqtt.host, config.mqtt.port, is_default=False, alpn=alpn, is_shared=True)
    return DeviceAddress(config.mqtt.host, config.mqtt_port, not config.is_given("mqtt"), alpn)


def _data_plane(
    config: Config, scope: Scope, counters: Counters
) -> "tuple[DataPlane, Callable[[], Sequence[AccountBroker]]]":
    """Return the data plane, and the function that returns the brokers behind it."""
    if config.mqtt_data_plane == LOCAL:
        return LocalDataPlane(broker_limits(config), time.monotonic, counters), tuple
    # Imported only if there is a broker: the relay is a thirtieth of all modules.
    from thingmint.service.devices.brokers import relay_of

    relay = relay_of(config, scope, counters)
    return relay, lambda: relay.brokers
