"""Owns the parsing of PROXY protocol headers, versions 1 and 2. Reads no sockets; does not decide whom to trust.

A balancer that forwards TCP sends the header first. The header has the addresses of the connection that the balancer
accepted. Source: "The PROXY protocol, versions 1 & 2" of HAProxy, sections 2.1 and 2.2.
"""

import ipaddress
import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

from msgspec import Struct

SocketAddress: TypeAlias = tuple[str, int]
"""An IP address without a zone, and a port."""

MOST_BYTES: Final = 4096
"""The longest header that is read. One of version 2 may have further fields; balancers write a few hundred bytes."""

_VERSION_1: Final = b"PROXY "
# Section 2.1: the longest line, its CRLF included.
_VERSION_1_MOST_BYTES: Final = 107
_VERSION_2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
# Address family and transport protocol, and the size of one address. Only stream protocols are accepted.
_UNKNOWN, _UNIX_STREAM = 0x00, 0x31
_ADDRESS_BYTES: Final = {0x11: 4, 0x21: 16}
_VERSION_1_FAMILIES: Final = {b"TCP4": 4, b"TCP6": 6}


class InvalidHeader(Exception):
    """The first bytes of a connection are not a header of the PROXY protocol; the message says why."""


class CarriedAddresses(Struct, frozen=True):
    """The two ends of the connection that the balancer accepted."""

    source: SocketAddress
    destination: SocketAddress


class ProxyHeader(Struct, frozen=True):
    """A complete header: its length in bytes, and the addresses; None if the balancer itself is the client."""

    length: int
    addresses: CarriedAddresses | None


def parse(beginning: bytes) -> ProxyHeader | None:
    """Return the header at the beginning of a connection; None if it is not complete yet.

    Headers of a balancer's own checks (LOCAL), unknown families and UNIX sockets have no addresses.
    Raises InvalidHeader.
    """
    if beginning.startswith(_VERSION_2):
        return _version_2(beginning)
    if beginning.startswith(_VERSION_1):
        return _version_1(beginning)
    if _VERSION_1.startswith(beginning) or _VERSION_2.startswith(beginning):
        return None
    raise InvalidHeader("it does not begin with a header of the PROXY protocol")


def _version_1(beginning: bytes) -> ProxyHeader | None:
    line, end, _ = beginning[:_VERSION_1_MOST_BYTES].partition(b"\r\n")
    if not end:
        if len(beginning) >= _VERSION_1_MOST_BYTES:
            raise InvalidHeader("its line is too long")
        return None
    length = len(line) + len(end)
    words = line.split(b" ")[1:]
    if words[0] == b"UNKNOWN":
        # Section 2.1: the receiver ignores the rest of the line.
        return ProxyHeader(length, None)
    return ProxyHeader(length, _version_1_addresses(words))


def _version_1_addresses(words: Sequence[bytes]) -> CarriedAddresses:
    if len(words) != 5 or words[0] not in _VERSION_1_FAMILIES:
        raise InvalidHeader("its line is not of the form TCP4|TCP6 SOURCE DESTINATION PORT PORT")
    family, source, destination, source_port, destination_port = words
    version = _VERSION_1_FAMILIES[family]
    return CarriedAddresses(
        (_address(source, version), _port(source_port)), (_address(destination, version), _port(destination_port))
    )


def _address(text: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError as error:
        raise InvalidHeader("it holds no IP address where one belongs") from error
    if address.version != version or b"%" in text:
        raise InvalidHeader("it holds an address of another family than it says")
    return _shown(address)


def _shown(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return the address as text. A balancer that listens for both families writes those of version 4 in version 6."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _port(text: bytes) -> int:
    if not text.isdigit() or len(text) > 5 or int(text) > 0xFFFF or (text[:1] == b"0" and text != b"0"):
        raise InvalidHeader("it holds no port where one belongs")
    return int(text)


def _version_2(beginning: bytes) -> ProxyHeader | None:
    if len(beginning) < _FIXED.size:
        return None
    _, command, family, count = _FIXED.unpack_from(beginning)
    length = _FIXED.size + count
    if command not in (_LOCAL, _PROXY):
        raise InvalidHeader("it has another version than 2, or an unknown command")
    if length > MOST_BYTES:
        raise InvalidHeader(f"it is longer than {MOST_BYTES} bytes")
    if len(beginning) < length:
        return None
    # Section 2.2: LOCAL is valid with any family.
    if command == _LOCAL or family in (_UNKNOWN, _UNIX_STREAM):
        return ProxyHeader(length, None)
    size = _ADDRESS_BYTES.get(family)
    if size is None:
        raise InvalidHeader("it carries addresses of no TCP connection")
    if count < 2 * size + 4:
        raise InvalidHeader("it is too short for its addresses")
    source, destination, source_port, destination_port = struct.unpack_from(
        f"!{size}s{size}sHH", beginning, _FIXED.size
    )
    return ProxyHeader(
        length,
        CarriedAddresses(
            (_shown(ipaddress.ip_address(source)), source_port),
            (_shown(ipaddress.ip_address(destination)), destination_port),
        ),
    )
