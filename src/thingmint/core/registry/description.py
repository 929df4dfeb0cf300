"""Owns the valid descriptions of thing types, thing groups and billing groups."""

import re

from thingmint.core.errors import InvalidRequest

# The service model's [\p{Graph}\x20]*. In Java, \p{Graph} matches ASCII only.
_DESCRIPTION = re.compile(r"[\x20-\x7e]{0,2028}")


def ensure_description(text: str) -> None:
    """Raise InvalidRequest unless the text is a valid description."""
    if not _DESCRIPTION.fullmatch(text):
        raise InvalidRequest("a description is at most 2028 printable ASCII characters")
