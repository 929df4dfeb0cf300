"""Owns the DER of whole numbers and of times (X.690, 8.3; RFC 5280, 4.1.2.5); refuses to know what they stand for."""

from datetime import UTC, datetime
from functools import lru_cache

from thingmint.issuance.encoding.der import encode

_INTEGER, _UTC_TIME, _GENERALIZED_TIME = 0x02, 0x17, 0x18
_LAST_YEAR_OF_UTC_TIME = 2049
# The certificates of one second have the same times.
_REMEMBERED_TIMES = 64


def integer(number: int) -> bytes:
    """Return an INTEGER, also of a negative number, in as few octets as possible."""
    bits = (number if number >= 0 else number + 1).bit_length()
    return encode(_INTEGER, number.to_bytes(bits // 8 + 1, "big", signed=True))


def generalized_time(moment: datetime) -> bytes:
    """Return a GeneralizedTime without fractions; the moment is aware, of a year from 1000 on."""
    return encode(_GENERALIZED_TIME, f"{moment.astimezone(UTC):%Y%m%d%H%M%SZ}".encode())


@lru_cache(_REMEMBERED_TIMES)
def time(moment: datetime) -> bytes:
    """Return a Time: UTCTime through 2049, GeneralizedTime from 2050 on; the moment is aware, from 1950 on."""
    moment = moment.astimezone(UTC)
    if moment.year <= _LAST_YEAR_OF_UTC_TIME:
        return encode(_UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())
    return generalized_time(moment)
