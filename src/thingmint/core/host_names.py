"""Owns the checks of a host's name as text. Resolves no names."""

import ipaddress
import re

_DNS_NAME = re.compile(
    r"(?=.{1,253}$)(\*\.)?([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
)


def is_concrete(host: str) -> bool:
    """Return whether a certificate can hold the host, and it does not mean all of the machine's addresses."""
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
