"""Owns the address to which simulated devices connect, and its check.

A simulated fleet can overload a service. Machines other than this one need an explicit option.
"""

import ipaddress
import socket
import ssl
import urllib.parse

from msgspec import Struct

from thingmint.core.error_text import in_words, reason_of
from thingmint.service.addresses import MQTT_PORT

_PROBE_SECONDS = 10.0


class TargetRefused(LookupError):
    """Devices must not or cannot connect there; the message says why."""


class Target(Struct, frozen=True):
    """A gateway: the address that answers, the name in its certificate, and the CA that verifies it."""

    address: str
    port: int
    server_name: str
    ca_file: str


def find_target(authority: str, ca_file: str, *, allow_remote: bool) -> Target:
    """Return the gateway at ``host`` or ``host:port``; raise TargetRefused if it may not or cannot be reached."""
    host, port = _parse(authority)
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise TargetRefused(f"the CA file {ca_file} cannot be used: {in_words(error)}") from error
    addresses = _addresses(host, port)
    if not allow_remote:
        _require_loopback(host, addresses)
    return Target(_answering(host, addresses, port), port, host, ca_file)


def require_loopback_url(url: str) -> None:
    """Return if the URL's host is this machine; raise TargetRefused otherwise."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname is None:
        raise TargetRefused(f"the endpoint must be an http or https URL, not {url!r}")
    _require_loopback(parts.hostname, _addresses(parts.hostname, None))


def _parse(authority: str) -> tuple[str, int]:
    try:
        parts = urllib.parse.urlsplit(f"//{authority}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or authority.endswith(":") or parts.netloc != authority or "@" in authority:
        raise TargetRefused(f"a gateway is HOST or HOST:PORT, not {authority!r}")
    return host, MQTT_PORT if port is None else port


def _addresses(host: str, port: int | None) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TargetRefused(f"{host} has no address: {reason_of(error)}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _require_loopback(host: str, addresses: list[str]) -> None:
    for address in addresses:
        # A link-local IPv6 address names its interface behind a percent sign.
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            raise TargetRefused(f"{host} ({address}) is another machine: say --allow-remote if it is yours to load")


def _answering(host: str, addresses: list[str], port: int) -> str:
    refusal = OSError("it has no address")
    for address in addresses:
        try:
            socket.create_connection((address, port), timeout=_PROBE_SECONDS).close()
        except OSError as error:
            refusal = error
        else:
            return address
    raise TargetRefused(f"nobody answers on {host}:{port}: {in_words(refusal)}") from refusal
