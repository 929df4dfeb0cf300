"""Owns the addresses that a running service publishes: its endpoints file, and the answer to DescribeEndpoint."""

import os

from msgspec import Struct

from thingmint.core.host_names import is_concrete, is_loopback
from thingmint.core.identifiers import AccountId, named_account
from thingmint.data_directory.authorities import TRUST_ANCHOR
from thingmint.data_directory.handover import Endpoints
from thingmint.settings.config import Config

# The port that devices use unless they are given another one (IANA: secure-mqtt).
MQTT_PORT = 8883


def device_endpoint(config: Config, port: int, account: AccountId) -> str:
    """Return the answer to DescribeEndpoint for an account: a host, and its port unless that is 8883.

    The host is the first server name that begins with this account's digits or with no account's digits. If a device
    connects to a name that begins with the digits of another account, it is looked up in that other account.
    """
    names = [name for name in config.server_names if named_account(name) == account]
    names += [name for name in config.server_names if named_account(name) is None]
    host = next(iter(names), config.server_names[0])
    return host if port == MQTT_PORT else _authority(host, port)


class Ports(Struct, frozen=True):
    """The ports on which a node listens; None for a port that it does not have."""

    api: int
    mqtt: int
    mqtt_alpn: int | None = None
    public: int | None = None
    est: int | None = None


def endpoints_of(config: Config, ports: Ports) -> Endpoints:
    """Return the addresses of the service with the ports on which it listens."""
    api_host = config.api.host if config.insecure_http else _proven(config.api.host, config)
    return Endpoints(
        api=f"{'http' if config.insecure_http else 'https'}://{_authority(api_host, ports.api)}",
        api_port=ports.api,
        mqtt=_authority(_proven(config.mqtt.host, config), ports.mqtt),
        mqtt_port=ports.mqtt,
        ca_file=None if config.insecure_http else str((config.data_dir / TRUST_ANCHOR).resolve()),
        account=config.account,
        region=config.region,
        pid=os.getpid(),
        mqtt_alpn=_alpn_address(config, ports.mqtt_alpn),
        mqtt_alpn_port=ports.mqtt_alpn,
        public=None if config.public is None or ports.public is None else _public_url(config.public.host, ports.public),
        public_port=ports.public,
        est=None if config.est is None or ports.est is None else _est_url(config.est.host, ports.est, config),
        est_port=ports.est,
    )


def is_unnamed(config: Config) -> bool:
    """Return whether the node listens for other machines, but its certificate holds no name that they can use."""
    further = [each.host for each in (config.mqtt_alpn, config.est) if each is not None]
    serves_others = not all(map(is_concrete, (config.api.host, config.mqtt.host, *further)))
    return serves_others and all(map(is_loopback, config.server_names))


def _alpn_address(config: Config, port: int | None) -> str | None:
    if config.mqtt_alpn is None or port is None:
        return None
    return _authority(_proven(config.mqtt_alpn.host, config), port)


def _public_url(host: str, port: int) -> str:
    return f"http://{_authority(host, port)}"


def _est_url(host: str, port: int, config: Config) -> str:
    return f"https://{_authority(_proven(host, config), port)}/.well-known/est"


def _proven(host: str, config: Config) -> str:
    """Return the address itself if the certificate holds it, because a name could resolve to another address first."""
    return host if host in config.server_names else config.server_names[0]


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
