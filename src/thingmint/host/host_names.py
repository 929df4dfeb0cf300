"""Owns what can be said of the name of a host by looking at it; resolves none."""

import ipaddress
import re

_DNS_NAME = re.compile(
    r"(?=.{1,253}$)(\*\.)?([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
)


def is_concrete(host: str) -> bool:
    """Return whether the host is one that a certificate can hold, and does not stand for all of the machine's."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return is_server_name(host)
    return not address.is_unspecified and "%" not in host


def is_server_name(name: str) -> bool:
    """Return whether a certificate can hold the name: a DNS name, perhaps with a wildcard, or an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return _DNS_NAME.fullmatch(name) is not None
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
