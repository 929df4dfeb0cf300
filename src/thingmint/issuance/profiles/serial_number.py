"""Owns the generation of a certificate's serial number. The caller passes the source of randomness."""

from collections.abc import Callable

from thingmint.core.identifiers import SerialNumber

# 159 bits: 20 octets at most even with the sign bit clear (RFC 5280, 4.1.2.2), far above the 64 bits of randomness that
# the CA/Browser Forum's baseline requirements ask for (7.1).
_OCTETS = 20
_MASK = (1 << 159) - 1


def random_serial_number(random_bytes: Callable[[int], bytes]) -> SerialNumber:
    """Return a positive number of 159 random bits. A zero is drawn again."""
    while (number := int.from_bytes(random_bytes(_OCTETS), "big") & _MASK) == 0:
        continue
    return SerialNumber(number)
