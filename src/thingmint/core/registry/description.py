"""Owns what may be said about a thing type, a thing group or a billing group."""

import re

from thingmint.core.errors import InvalidRequest

# The service model's [\p{Graph}\x20]*, whose \p{Graph} is that of Java: ASCII alone.
_DESCRIPTION = re.compile(r"[\x20-\x7e]{0,2028}")


def ensure_description(text: str) -> None:
    """Raise InvalidRequest unless the text may describe something in the registry."""
    if not _DESCRIPTION.fullmatch(text):
        raise InvalidRequest("a description is at most 2028 printable ASCII characters")
