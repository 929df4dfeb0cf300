"""Owns the facts of a published revocation list: which certificates it covers, and its state. Not its encoding."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class ListName(NamedTuple):
    """The list of an issuer's certificates with serial number modulo ``shards`` equal to ``shard``."""

    issuer_id: str
    shards: int = 1
    shard: int = 0


@dataclass(frozen=True, slots=True)
class ListState:
    """A stored list without its DER. The digest is that of its entries."""

    name: ListName
    number: int
    entries: int
    this_update: datetime
    next_update: datetime
    content_digest: str
