"""Owns the text that names a page of a list in an address. Checks it, because a browser may send anything."""

import re

from thingmint.core.errors import InvalidRequest
from thingmint.core.paging import PageKey

_KEY = re.compile(r"([0-9]{1,19})(?::(.{0,300}))?", re.DOTALL)


def key_of(text: str) -> PageKey | None:
    """Return where a page starts, None for the first page; raise InvalidRequest for a text that names no page."""
    if not text:
        return None
    match = _KEY.fullmatch(text)
    if match is None or "\0" in text:
        raise InvalidRequest("There is no such page of the list")
    return PageKey(int(match[1]), match[2] or "")


def text_of(key: PageKey | None) -> str:
    """Return how the page is named, empty if there is none."""
    if key is None:
        return ""
    return f"{key.position}:{key.text}" if key.text else str(key.position)
