"""Owns what columns hold of times and places in lists; knows no table."""

from datetime import UTC, datetime, timedelta

from thingmint.registration.paging import PageKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Positions start at 1 and fit a signed 64-bit integer on both engines.
_BEFORE_FIRST = 0
_AFTER_LAST = 2**63 - 1


def column_of_time(at: datetime) -> int:
    """Return the aware time as microseconds since 1970, which lose nothing of a datetime and fit 64 bits."""
    return (at - _EPOCH) // _MICROSECOND


def time_of_column(microseconds: int) -> datetime:
    """Return the time of a column, aware, UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def position_after(after: PageKey | None, *, ascending: bool) -> int:
    """Return the position behind which a page starts; without a key, that of the list's own beginning."""
    if after is None:
        return _BEFORE_FIRST if ascending else _AFTER_LAST
    # A page key comes back from outside: a number of any size must not become an error of the database.
    return min(max(after.position, _BEFORE_FIRST), _AFTER_LAST)
