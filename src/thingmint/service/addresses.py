"""Owns how the running service names itself to others: its endpoints file, and the address that devices are told."""

import os

from thingmint.core.identifiers import AccountId, named_account
from thingmint.data_directory.authorities import TRUST_ANCHOR
from thingmint.data_directory.handover import Endpoints
from thingmint.host.host_names import is_concrete, is_loopback
from thingmint.settings.config import Config

# What devices try if nobody tells them a port.
MQTT_PORT = 8883


def device_endpoint(config: Config, port: int, account: AccountId) -> str:
    """Return what DescribeEndpoint answers an account: a host, and its port if devices would not find it by themselves.

    It is the first server name that names this account or none: by a name that begins with the digits of another one,
    its devices would be taken for that account's.
    """
    names = [name for name in config.server_names if named_account(name) == account]
    names += [name for name in config.server_names if named_account(name) is None]
    host = next(iter(names), config.server_names[0])
    return host if port == MQTT_PORT else _authority(host, port)


def endpoints_of(
    config: Config, api_port: int, mqtt_port: int, mqtt_alpn_port: int | None, public_port: int | None = None
) -> Endpoints:
    """Return where the service can be reached with the ports that it got."""
    api_host = config.api.host if config.insecure_http else _proven(config.api.host, config)
    return Endpoints(
        api=f"{'http' if config.insecure_http else 'https'}://{_authority(api_host, api_port)}",
        api_port=api_port,
        mqtt=_authority(_proven(config.mqtt.host, config), mqtt_port),
        mqtt_port=mqtt_port,
        ca_file=None if config.insecure_http else str((config.data_dir / TRUST_ANCHOR).resolve()),
        account=config.account,
        region=config.region,
        pid=os.getpid(),
        mqtt_alpn=_alpn_address(config, mqtt_alpn_port),
        mqtt_alpn_port=mqtt_alpn_port,
        public=None if config.public is None or public_port is None else _public_url(config.public.host, public_port),
        public_port=public_port,
    )


def is_unnamed(config: Config) -> bool:
    """Return whether other machines are served, and no name or address of this one is in the server's certificate."""
    alpn_hosts = [] if config.mqtt_alpn is None else [config.mqtt_alpn.host]
    serves_others = not all(map(is_concrete, (config.api.host, config.mqtt.host, *alpn_hosts)))
    return serves_others and all(map(is_loopback, config.server_names))


def _alpn_address(config: Config, port: int | None) -> str | None:
    if config.mqtt_alpn is None or port is None:
        return None
    return _authority(_proven(config.mqtt_alpn.host, config), port)


def _public_url(host: str, port: int) -> str:
    return f"http://{_authority(host, port)}"


def _proven(host: str, config: Config) -> str:
    """Return the address itself where the certificate holds it: a name could resolve to another one first."""
    return host if host in config.server_names else config.server_names[0]


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
