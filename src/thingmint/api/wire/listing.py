"""Owns the paging of lists: page sizes, and markers that belong to one list. Independent of the lists' contents."""

from msgspec import Struct

from thingmint.api.wire.marker import decode_marker, encode_marker
from thingmint.core.identifiers import Scope
from thingmint.core.paging import PageKey, PageRequest

# The default of AWS's lists: documented for CA certificates, observed for the others.
_DEFAULT_PAGE_SIZE = 25


class Listing(Struct, frozen=True):
    """One list: its operation, its account and region, its direction, and its filters.

    A marker that was made for another list, account, region, direction or filter is refused.
    """

    name: str
    scope: Scope
    ascending: bool = False
    filters: tuple[str, ...] = ()

    def page_request(self, size: int | None, marker: str | None) -> PageRequest:
        """Return the request for a page; raise InvalidRequest for a marker of another list."""
        after = None if marker is None else decode_marker(self._place, marker)
        return PageRequest(size or _DEFAULT_PAGE_SIZE, after, self.ascending)

    def marker(self, key: PageKey | None) -> str | None:
        """Return the marker of the next page, None on the last one."""
        return None if key is None else encode_marker(self._place, key)

    @property
    def _place(self) -> tuple[str, ...]:
        return (self.name, self.scope.account, self.scope.region, str(self.ascending), *self.filters)
