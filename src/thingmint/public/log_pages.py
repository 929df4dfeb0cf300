"""Owns the pages of the log: checkpoint, tiles and entries, as C2SP's tlog-tiles names them. Serves no requests.

Source: https://c2sp.org/tlog-tiles
"""

from dataclasses import dataclass, field

from msgspec import Struct

from thingmint.core.errors import OperationUnknown
from thingmint.core.transparency.tiles import tile_of_path
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.reading import present_state, read_bundle, read_tile

_TEXT = b"text/plain; charset=utf-8"
_OCTETS = b"application/octet-stream"
# A tile never changes; the checkpoint changes twice a second at most.
_SECONDS_OF_CHECKPOINT, _SECONDS_OF_TILE = 1, 31_536_000


class LogPage(Struct, frozen=True):
    """The content of a page, and for how many seconds it may be cached."""

    body: bytes
    content_type: bytes
    seconds: int

    @property
    def is_immutable(self) -> bool:
        """Whether the page never changes."""
        return self.seconds == _SECONDS_OF_TILE


@dataclass(frozen=True, slots=True)
class LogPages:
    """Reads the pages from the store."""

    store: Store
    secret: bytes = field(repr=False)

    async def page(self, path: str) -> LogPage:
        """Return the page at the path below the log's prefix.

        Raises OperationUnknown if no page has the path, ResourceNotFound if the log does not have the tile (any more).
        """
        if path == "checkpoint":
            state = await self.store.read(present_state)
            return LogPage(state.checkpoint.encode(), _TEXT, _SECONDS_OF_CHECKPOINT)
        wanted = tile_of_path(path)
        if wanted is None:
            raise OperationUnknown("No page of the log has this path")
        if wanted.is_entries:
            body = await self.store.read(lambda: read_bundle(wanted, self.secret))
        else:
            body = await self.store.read(lambda: read_tile(wanted))
        return LogPage(body, _OCTETS, _SECONDS_OF_TILE)
