"""Owns the search for certificates by one field, in pages. Does not check permissions.

The input of an operator is parsed leniently: capitals in ids and serial numbers and colons in serial numbers are
allowed. Other invalid texts raise InvalidRequest.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.records.certificates import certificate_search as search_table
from thingmint.records.certificates.certificate_search import FoundCertificate
from thingmint.records.paging import Listed, Page, PageRequest, read_listed
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority

_Entries: TypeAlias = Callable[[PageRequest], Steps[Sequence[Listed[FoundCertificate]]]]

# A shorter prefix would match thousands of certificates and is probably a mistake.
_FEWEST_DIGITS = 4
_ID = re.compile(f"[0-9a-f]{{{_FEWEST_DIGITS},64}}")
_SERIAL_NUMBER = re.compile("[0-9a-f]{1,64}")
_LONGEST_NAME = 256


class SearchBy(StrEnum):
    """The field of certificates to search by."""

    NOTHING = ""
    ID = "id"
    COMMON_NAME = "common-name"
    SERIAL_NUMBER = "serial-number"
    ISSUER = "issuer"
    STATUS = "status"
    END = "end"


@dataclass(frozen=True, slots=True)
class Search:
    """A search for certificates whose field ``by`` equals or starts with the text, or for an expiry is before it."""

    by: SearchBy = SearchBy.NOTHING
    text: str = ""


async def search_certificates(
    authority: RegistrationAuthority, scope: Scope, search: Search, page: PageRequest
) -> Page[FoundCertificate]:
    """Return a page of the account's certificates; raise InvalidRequest for an invalid text.

    Searches by name, id and expiry are ordered by that field. Other searches are newest first.
    """
    if page.after is not None and search.by is SearchBy.END and not re.fullmatch("-?[0-9]{1,18}", page.after.text):
        raise InvalidRequest("The page does not exist")
    entries = _READERS[search.by](scope, search.text.strip(), authority.clock.now())
    return await authority.store.read(lambda: read_listed(page, entries))


async def named_certificates(
    authority: RegistrationAuthority, scope: Scope, certificate_ids: Sequence[CertificateId]
) -> Sequence[FoundCertificate]:
    """Return those of these certificates that the account has."""
    return await authority.store.read(lambda: search_table.named(scope, certificate_ids))


def _newest(scope: Scope, text: str, now: datetime) -> _Entries:
    del text, now
    return lambda page: search_table.newest(scope, page)


def _by_id(scope: Scope, text: str, now: datetime) -> _Entries:
    del now
    prefix = text.lower().rpartition("/")[2]
    if not _ID.fullmatch(prefix):
        raise InvalidRequest(f"A certificate id, or the {_FEWEST_DIGITS} or more digits it starts with, is hexadecimal")
    return lambda page: search_table.by_id(scope, prefix, page)


def _by_common_name(scope: Scope, text: str, now: datetime) -> _Entries:
    del now
    if not 0 < len(text) <= _LONGEST_NAME or "\0" in text or not _is_encodable(text):
        raise InvalidRequest(f"A common name, or what it starts with, has 1 to {_LONGEST_NAME} characters")
    return lambda page: search_table.by_common_name(scope, text, page)


def _by_serial_number(scope: Scope, text: str, now: datetime) -> _Entries:
    del now
    digits = text.lower().removeprefix("0x").replace(":", "").replace(" ", "")
    if not _SERIAL_NUMBER.fullmatch(digits):
        raise InvalidRequest("A serial number is hexadecimal, with or without colons")
    number = digits.lstrip("0") or "0"
    return lambda page: search_table.by_serial_number(scope, number, page)


def _by_issuer(scope: Scope, text: str, now: datetime) -> _Entries:
    del now
    issuer_id = text.lower()
    if not _ID.fullmatch(issuer_id) or len(issuer_id) != len(CertificateId("0" * 64)):
        raise InvalidRequest("An issuer is named by the 64 hexadecimal digits of its id")
    return lambda page: search_table.by_issuer(scope, issuer_id, page)


def _by_status(scope: Scope, text: str, now: datetime) -> _Entries:
    del now
    statuses = {str(status): status for status in CertificateStatus}
    if text.upper() not in statuses:
        raise InvalidRequest(f"A status is one of {', '.join(statuses)}")
    return lambda page: search_table.by_status(scope, statuses[text.upper()], page)


def _by_end(scope: Scope, text: str, now: datetime) -> _Entries:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        until = day + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidRequest("The day up to which certificates end is written like 2027-01-31") from None
    return lambda page: search_table.by_end(scope, now, until, page)


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


_READERS: dict[SearchBy, Callable[[Scope, str, datetime], _Entries]] = {
    SearchBy.NOTHING: _newest,
    SearchBy.ID: _by_id,
    SearchBy.COMMON_NAME: _by_common_name,
    SearchBy.SERIAL_NUMBER: _by_serial_number,
    SearchBy.ISSUER: _by_issuer,
    SearchBy.STATUS: _by_status,
    SearchBy.END: _by_end,
}
