"""Owns the computation of connection limits from settings and file descriptors. Does not enforce them."""

from dataclasses import fields
from typing import Any, NamedTuple

from thingmint.host.connections.listening import Demand, shares
from thingmint.host.cores import usable_cores
from thingmint.host.service_log import service_log
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.settings.config import Config

# The smallest limit of concurrent device requests for keys. A large limit would delay devices with other claims.
_FEWEST_KEYS_AT_ONCE = 4
# Clients of the public address and of EST close the connection after a request.
_MOST_PUBLIC_CONNECTIONS = 1024
_MOST_EST_CONNECTIONS = 1024
# The name of a setting is one of these prefixes and the name of the limit.
_DEVICE_PORT, _OTHER_BROKER = "mqtt_", "mqtt_broker_"


class Shares(NamedTuple):
    """The connections of the API, the shares of devices, and the connections of the public address and of EST."""

    api: int
    devices: GatewayLimits
    public: int
    est: int


def shares_of(config: Config) -> Shares:
    """Return the share of each listener.

    All listeners share the file descriptors of the process.
    """
    # With the relay, each device needs a second descriptor: for its connection to the broker.
    descriptors = 1 if config.mqtt_data_plane == "local" else 2
    alone = GatewayLimits()
    wanted = [Demand(config.max_connections), Demand(config.max_device_connections, descriptors)]
    wanted.append(Demand(0 if config.public is None else _MOST_PUBLIC_CONNECTIONS))
    wanted.append(Demand(0 if config.est is None else _MOST_EST_CONNECTIONS))
    operators, devices, public, est = granted = shares(wanted)
    if list(granted) != [each.connections for each in wanted]:
        service_log.warning(
            "descriptors are scarce: raise `ulimit -n`", api_connections=operators, device_connections=devices
        )
    # Devices may fill at most three quarters of the queue for keys; the rest is for operators.
    provisioning = min(alone.max_provisioning, max(1, config.max_waiting_for_keys * 3 // 4))
    limits = GatewayLimits(
        max_connections=devices,
        max_connections_per_certificate=max(1, devices // 2),
        max_strangers=config.max_device_handshakes,
        max_waiting=config.max_waiting_devices,
        max_provisioning=provisioning,
        max_provisioning_keys_at_once=max(_FEWEST_KEYS_AT_ONCE, 2 * (config.key_workers or usable_cores())),
        **_named(config, _DEVICE_PORT, GatewayLimits),
    )
    return Shares(operators, limits, public, est)


def broker_limits(config: Config) -> BrokerLimits:
    """Return the limits of the built-in broker."""
    return BrokerLimits(**_named(config, _DEVICE_PORT, BrokerLimits))


def relay_limits(config: Config) -> RelayLimits:
    """Return the limits of the relay to another broker."""
    return RelayLimits(**_named(config, _OTHER_BROKER, RelayLimits))


def _named(config: Config, prefix: str, limits: type[Any]) -> dict[str, Any]:
    """Return the values of all settings whose names are the prefix and the name of a limit."""
    names = [each.name for each in fields(limits) if hasattr(config, prefix + each.name)]
    return {name: getattr(config, prefix + name) for name in names}
