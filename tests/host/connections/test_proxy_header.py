"""Headers of the PROXY protocol, versions 1 and 2: what they carry, when they are whole, and which are refused."""

import socket
import struct

import pytest

from thingmint.host.connections.proxy_header import MOST_BYTES, CarriedAddresses, InvalidHeader, ProxyHeader, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FOUR = CarriedAddresses(("192.0.2.9", 56324), ("192.0.2.1", 443))
SIX = CarriedAddresses(("2001:db8::9", 65535), ("2001:db8::1", 0))


def version_2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def body_of(addresses: CarriedAddresses, family: int, more: bytes = b"") -> bytes:
    ends = (addresses.source, addresses.destination)
    packed = b"".join(socket.inet_pton(family, address) for address, _ in ends)
    return packed + struct.pack("!HH", *(port for _, port in ends)) + more


FOUR_BODY, SIX_BODY = body_of(FOUR, socket.AF_INET), body_of(SIX, socket.AF_INET6)
MAPPED = CarriedAddresses(("::ffff:192.0.2.9", 56324), ("::ffff:192.0.2.1", 443))
MAPPED_BODY = body_of(MAPPED, socket.AF_INET6)
WHOLE = {
    b"PROXY TCP4 192.0.2.9 192.0.2.1 56324 443\r\n": FOUR,
    b"PROXY TCP6 2001:db8::9 2001:db8::1 65535 0\r\n": SIX,
    b"PROXY TCP6 ::ffff:192.0.2.9 ::ffff:c000:201 56324 443\r\n": FOUR,
    version_2(0x21, 0x21, MAPPED_BODY): FOUR,
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": None,
    version_2(0x21, 0x11, FOUR_BODY): FOUR,
    version_2(0x21, 0x21, SIX_BODY): SIX,
    # Type, length and value of a name (PP2_TYPE_AUTHORITY).
    version_2(0x21, 0x11, FOUR_BODY + b"\x02\x00\x03abc"): FOUR,
    version_2(0x20, 0x00, b""): None,
    version_2(0x20, 0x11, FOUR_BODY): None,
    version_2(0x21, 0x00, b""): None,
    version_2(0x21, 0x31, bytes(216)): None,
}
INVALID = (
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"PROXY TCP4 192.0.2.9 192.0.2.1 56324\r\n",
    b"PROXY TCP4 192.0.2.9 192.0.2.1 56324 443 1\r\n",
    b"PROXY TCP4  192.0.2.9 192.0.2.1 56324 443\r\n",
    b"PROXY UDP4 192.0.2.9 192.0.2.1 56324 443\r\n",
    b"PROXY TCP6 192.0.2.9 192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 ::1 ::1 56324 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 56324 443\r\n",
    b"PROXY TCP4 localhost 192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 \xff 192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.9 192.0.2.1 65536 443\r\n",
    b"PROXY TCP4 192.0.2.9 192.0.2.1 0443 443\r\n",
    b"PROXY TCP4 192.0.2.9 192.0.2.1 -1 443\r\n",
    b"PROXY UNKNOWN " + b"x" * 100,
    version_2(0x11, 0x11, FOUR_BODY),
    version_2(0x22, 0x11, FOUR_BODY),
    version_2(0x21, 0x12, FOUR_BODY),
    version_2(0x21, 0x11, FOUR_BODY[:-1]),
    version_2(0x21, 0x21, SIX_BODY[:-1]),
    version_2(0x21, 0x11, bytes(MOST_BYTES)),
)


@pytest.mark.parametrize("header", WHOLE, ids=repr)
def test_whole_header_is_read_and_what_follows_is_not_a_part_of_it(header: bytes) -> None:
    for after in (b"", b"\x16\x03\x01", header):
        assert parse(header + after) == ProxyHeader(len(header), WHOLE[header])
    assert [length for length in range(1, len(header)) if parse(header[:length]) is not None] == []


@pytest.mark.parametrize("header", INVALID, ids=repr)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidHeader):
        parse(header)
