"""Owns the column formats of times, attributes and list positions, and conditions for one row."""

import json
from datetime import UTC, datetime, timedelta

from thingmint.core.paging import PageKey
from thingmint.core.registry.attributes import Attributes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Positions start at 1 and fit a signed 64-bit integer on both engines.
_BEFORE_FIRST = 0
_AFTER_LAST = 2**63 - 1


def column_of_time(at: datetime) -> int:
    """Return the aware time as microseconds since 1970. They have a datetime's full precision and fit 64 bits."""
    return (at - _EPOCH) // _MICROSECOND


def time_of_column(microseconds: int) -> datetime:
    """Return the time of a column, aware, UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def position_after(after: PageKey | None, *, ascending: bool) -> int:
    """Return the position after which a page starts; without a key, the position before the list's first entry."""
    if after is None:
        return _BEFORE_FIRST if ascending else _AFTER_LAST
    # A page key comes from the caller. A number of any size must not cause an error of the database.
    return min(max(after.position, _BEFORE_FIRST), _AFTER_LAST)


def column_of_attributes(attributes: Attributes) -> str:
    """Return the attributes as JSON."""
    return json.dumps(attributes.as_dict(), separators=(",", ":"))


def attributes_of_column(text: str) -> Attributes:
    """Return the attributes of a column."""
    return Attributes.of(json.loads(text))


def one_named(first: int) -> str:
    """Return the condition for the row with a name, account and region, with parameters from this number on.

    The expressions keep the planner from using an index by account and region: see `certificates`.
    """
    return f"WHERE name = ${first} AND account || '' = ${first + 1} AND region || '' = ${first + 2}"


def first_text(prefix: str, after: PageKey | None) -> str:
    """Return the first text of a page of the texts that start with the prefix.

    It combines two bounds, the prefix and the last text, because SQLite uses only one of two for an index.
    Names, paths and values of attributes are printable ASCII, so no text is between ``after`` and the result.
    """
    return prefix if after is None else max(prefix, after.text + "\x01")


def end_of_texts(prefix: str) -> str:
    """Return a text that sorts after all texts with the prefix and before all texts that follow them."""
    return prefix + "\x7f"
