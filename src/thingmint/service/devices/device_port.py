"""Owns the construction of a node's device edge: its addresses, its data plane, and its metrics."""

import socket
import time
import uuid
from dataclasses import replace
from functools import partial

import structlog

from thingmint import __version__
from thingmint.core.identifiers import Scope
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.metrics import BrokerMetrics
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.registration.kernel.ports import Store
from thingmint.service.devices.brokers import brokers_of, exposed
from thingmint.service.devices.connection_limits import broker_limits, relay_limits
from thingmint.service.devices.device_edge import DeviceAddress, DeviceEdge
from thingmint.service.node import OpenNode
from thingmint.service.nodes.membership import Membership, NodeDescription
from thingmint.service.nodes.settings_comparison import comparable_settings
from thingmint.settings.config import Config

# Other nodes announce a client's new connection within milliseconds, or within a second where NOTIFY does not work.
_EXPLAIN_SECONDS = 1.5

_log = structlog.get_logger("thingmint")


def device_edge(node: OpenNode, limits: GatewayLimits, heartbeats: Store | None) -> DeviceEdge:
    """Return the edge, which does not listen yet; raise StartRefused if a broker cannot be used.

    ``heartbeats`` is the store that the node's membership uses, None on SQLite.
    """
    config, scope, metrics = node.config, node.registry.scope, node.metrics
    metrics.nodes(1)
    counters = Counters(BrokerMetrics(metrics.registry))
    return DeviceEdge(
        node.authority,
        scope,
        address=_address(config, is_shared=node.worker is not None),
        tls_context=node.identity.device_context,
        data_plane=_data_plane(config, scope, counters),
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
    return Membership(store, introduction, lambda: str(uuid.uuid4()), _log, node.metrics.nodes)


def _address(config: Config, *, is_shared: bool) -> DeviceAddress:
    alpn = None if config.mqtt_alpn is None else (config.mqtt_alpn.host, config.mqtt_alpn.port)
    if is_shared:
        # The parent process of the workers has reserved the ports.
        return DeviceAddress(config.mqtt.host, config.mqtt.port, is_default=False, alpn=alpn, is_shared=True)
    return DeviceAddress(config.mqtt.host, config.mqtt_port, not config.is_given("mqtt"), alpn)


def _data_plane(config: Config, scope: Scope, counters: Counters) -> DataPlane:
    brokers = brokers_of(config, scope)
    if brokers is None:
        return LocalDataPlane(broker_limits(config), time.monotonic, counters)
    for warning in exposed(brokers):
        _log.warning(warning)
    limits = relay_limits(config)
    if config.database_url is not None:
        limits = replace(limits, explain_seconds=_EXPLAIN_SECONDS)
    return RelayDataPlane(brokers, limits, counters)
