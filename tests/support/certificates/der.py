"""Writes DER by hand, for tests that need what no honest encoder writes."""


def tlv(tag: int, content: bytes) -> bytes:
    """Return an element of any tag."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*items: bytes) -> bytes:
    """Return a SEQUENCE."""
    return tlv(0x30, b"".join(items))


def set_of(*items: bytes) -> bytes:
    """Return a SET in the order given, right or wrong."""
    return tlv(0x31, b"".join(items))


def integer(value: int) -> bytes:
    """Return an INTEGER, negative ones included."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def bits(content: bytes) -> bytes:
    """Return a BIT STRING of whole octets."""
    return tlv(0x03, b"\0" + content)


def octets(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(0x04, content)


def context(number: int, content: bytes) -> bytes:
    """Return a constructed element of a context-specific tag."""
    return tlv(0xA0 | number, content)


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray([40 * first + second])
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content += bytes(reversed(groups))
    return tlv(0x06, bytes(content))
