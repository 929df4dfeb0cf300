"""Owns the search for certificates by several criteria at once, in pages. Does not check permissions.

One criterion leads: its index gives certificates in its order, and the other criteria filter them. Of several criteria,
the one leads that few certificates fulfil, or else whose first certificates fulfil the others most often. A page looks
at a bounded number of certificates: it may show fewer than were asked for, or none, and still have a next page.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.core.paging import PageKey, PageRequest
from thingmint.records.certificates import certificate_search as search_table
from thingmint.records.certificates.certificate_search import FoundCertificate
from thingmint.registration.certificates.certificate_criteria import Criterion, SearchBy, criteria_of
from thingmint.registration.kernel.authority import RegistrationAuthority

MOST_EXAMINED: Final = 2500
"""A page of several criteria looks at this many certificates."""
_AT_ONCE: Final = 500
_PROBED: Final = 200


class Search(Struct, frozen=True):
    """What is looked for: certificates that fulfil every criterion, or all certificates.

    An id or a common name starts with its text, the end lies between two days (``YYYY-MM-DD``, both included), and
    everything else equals its text. ``led_by`` is that of the page before, empty for the first page.
    """

    criteria: Mapping[SearchBy, str] = field(default_factory=dict)
    led_by: str = ""


class FoundPage(Struct, frozen=True):
    """Certificates, where the next page starts if there is one, and the criterion in whose order they are.

    ``is_cut`` tells that the page ended at `MOST_EXAMINED` certificates that were looked at.
    """

    items: tuple[FoundCertificate, ...]
    next: PageKey | None
    led_by: SearchBy | None
    is_cut: bool = False


async def search_certificates(
    authority: RegistrationAuthority, scope: Scope, search: Search, page: PageRequest
) -> FoundPage:
    """Return a page of the account's certificates; raise InvalidRequest for a text that does not fit its criterion.

    Searches by name, id and expiry are ordered by that field. Other searches are newest first.
    """
    criteria = criteria_of(scope, search.criteria, authority.clock.now())
    leading = await _leading(authority, criteria, search.led_by, page)
    others = [each for each in criteria if each is not leading]
    at_once = _AT_ONCE if others else page.size + 1
    found: list[FoundCertificate] = []
    after, following, examined = page.after, page.after, 0
    while True:
        rows = await _rows(authority, leading, PageRequest(at_once, after, page.ascending))
        for row in rows:
            if not _fulfils(row.item, others):
                continue
            if len(found) == page.size:
                return FoundPage(tuple(found), following, leading.by)
            found.append(row.item)
            following = row.key
        if len(rows) < at_once:
            return FoundPage(tuple(found), None, leading.by)
        after, examined = rows[-1].key, examined + len(rows)
        if examined >= MOST_EXAMINED:
            return FoundPage(tuple(found), after, leading.by, is_cut=True)


def fulfilling(
    authority: RegistrationAuthority, scope: Scope, search: Search, found: Sequence[FoundCertificate]
) -> Sequence[FoundCertificate]:
    """Return those of the certificates that fulfil every criterion; raise InvalidRequest as the search does."""
    criteria = criteria_of(scope, search.criteria, authority.clock.now())
    return [each for each in found if _fulfils(each, criteria)]


async def named_certificates(
    authority: RegistrationAuthority, scope: Scope, certificate_ids: Sequence[CertificateId]
) -> Sequence[FoundCertificate]:
    """Return those of these certificates that the account has."""
    return await authority.store.read(lambda: search_table.named(scope, certificate_ids))


async def _leading(
    authority: RegistrationAuthority, criteria: Sequence[Criterion], led_by: str, page: PageRequest
) -> Criterion:
    """Return the criterion whose index is read; raise InvalidRequest if the page belongs to another search."""
    if len(criteria) > 1 and page.after is None:
        return await _most_telling(authority, criteria)
    leading = next((each for each in criteria if len(criteria) == 1 or each.by == led_by), None)
    if leading is None or not _is_of(leading, page.after):
        raise InvalidRequest("The page does not exist")
    return leading


def _is_of(criterion: Criterion, after: PageKey | None) -> bool:
    """Return whether a page of the criterion can start there: ends are numbers."""
    return after is None or criterion.by is not SearchBy.END or bool(re.fullmatch("-?[0-9]{1,18}", after.text))


async def _most_telling(authority: RegistrationAuthority, criteria: Sequence[Criterion]) -> Criterion:
    best, most = criteria[0], -1
    for each in criteria:
        rows = await _rows(authority, each, PageRequest(_PROBED, None, ascending=False))
        if len(rows) < _PROBED:
            return each
        count = sum(_fulfils(row.item, criteria) for row in rows)
        if count > most:
            best, most = each, count
    return best


async def _rows(authority: RegistrationAuthority, criterion: Criterion, page: PageRequest) -> search_table.Found:
    return await authority.store.read(lambda: criterion.entries(page))


def _fulfils(found: FoundCertificate, criteria: Sequence[Criterion]) -> bool:
    return all(each.matches(found) for each in criteria)
