"""Owns the criteria by which operators find certificates: how each is read from text, and its rows in the registry.

What an operator types is read leniently: an id or a serial number may be written in capitals, a serial number with
colons. A text that does not fit its criterion raises InvalidRequest.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct, field

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.core.paging import PageRequest
from thingmint.records.certificates import certificate_search as search_table
from thingmint.records.certificates.certificate_search import Found, FoundCertificate
from thingmint.records.steps import Steps

# Fewer digits find thousands of certificates: the operator probably pressed the button too early.
_FEWEST_DIGITS: Final = 4
_ID = re.compile(f"[0-9a-f]{{{_FEWEST_DIGITS},64}}")
_SERIAL_NUMBER = re.compile("[0-9a-f]{1,64}")
_LONGEST_NAME: Final = 256
# The day after this one cannot be written as a datetime.
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)


class SearchBy(StrEnum):
    """What an operator may know of a certificate; usually, fewer certificates fulfil the first ones."""

    ID = "id"
    SERIAL_NUMBER = "serial-number"
    COMMON_NAME = "common-name"
    END_SINCE = "end-since"
    END = "end"
    ISSUER = "issuer"
    STATUS = "status"


class Criterion(Struct, frozen=True):
    """One criterion: the certificates that fulfil it, in the order of its index, and whether one fulfils it."""

    by: SearchBy | None
    entries: Callable[[PageRequest], Steps[Found]]
    matches: Callable[[FoundCertificate], bool] = field(default=lambda found: True)


def criteria_of(scope: Scope, texts: Mapping[SearchBy, str], now: datetime) -> Sequence[Criterion]:
    """Return the criteria of the texts, at least one; raise InvalidRequest for a text that does not fit.

    No text at all gives the list of all certificates. The two days of ``END_SINCE`` and ``END`` make one criterion.
    """
    given = {by: text.strip() for by, text in texts.items()}
    criteria = [_READERS[by](scope, given[by]) for by in _READERS if by in given]
    if SearchBy.END in given or SearchBy.END_SINCE in given:
        criteria.append(_by_end(scope, given.get(SearchBy.END_SINCE), given.get(SearchBy.END), now))
    return criteria or [Criterion(None, lambda page: search_table.newest(scope, page))]


def _by_id(scope: Scope, text: str) -> Criterion:
    prefix = text.lower().rpartition("/")[2]
    if not _ID.fullmatch(prefix):
        raise InvalidRequest(f"A certificate id, or the {_FEWEST_DIGITS} or more digits it starts with, is hexadecimal")
    return Criterion(
        SearchBy.ID,
        lambda page: search_table.by_id(scope, prefix, page),
        lambda found: found.certificate_id.startswith(prefix),
    )


def _by_serial_number(scope: Scope, text: str) -> Criterion:
    digits = text.lower().removeprefix("0x").replace(":", "").replace(" ", "")
    if not _SERIAL_NUMBER.fullmatch(digits):
        raise InvalidRequest("A serial number is hexadecimal, with or without colons")
    number = digits.lstrip("0") or "0"
    return Criterion(
        SearchBy.SERIAL_NUMBER,
        lambda page: search_table.by_serial_number(scope, number, page),
        lambda found: found.serial_number == number,
    )


def _by_common_name(scope: Scope, text: str) -> Criterion:
    if not 0 < len(text) <= _LONGEST_NAME or "\0" in text or not _is_encodable(text):
        raise InvalidRequest(f"A common name, or what it starts with, has 1 to {_LONGEST_NAME} characters")
    return Criterion(
        SearchBy.COMMON_NAME,
        lambda page: search_table.by_common_name(scope, text, page),
        lambda found: found.common_name is not None and found.common_name.startswith(text),
    )


def _by_issuer(scope: Scope, text: str) -> Criterion:
    issuer_id = text.lower()
    if not _ID.fullmatch(issuer_id) or len(issuer_id) != len(CertificateId("0" * 64)):
        raise InvalidRequest("An issuer is named by the 64 hexadecimal digits of its id")
    return Criterion(
        SearchBy.ISSUER,
        lambda page: search_table.by_issuer(scope, issuer_id, page),
        lambda found: found.issuer_id == issuer_id,
    )


def _by_status(scope: Scope, text: str) -> Criterion:
    statuses = {str(status): status for status in CertificateStatus}
    if text.upper() not in statuses:
        raise InvalidRequest(f"A status is one of {', '.join(statuses)}")
    status = statuses[text.upper()]
    return Criterion(
        SearchBy.STATUS,
        lambda page: search_table.by_status(scope, status, page),
        lambda found: found.status is status,
    )


def _by_end(scope: Scope, first: str | None, last: str | None, now: datetime) -> Criterion:
    """Return the criterion of an end from the first day to the last; without a first day, from now on."""
    since = now if first is None else _day(first)
    until = datetime.max.replace(tzinfo=UTC) if last is None else _day(last) + timedelta(days=1)
    if first is not None and until <= since:
        raise InvalidRequest("The first day on which certificates end is after the last one")
    return Criterion(
        SearchBy.END,
        lambda page: search_table.by_end(scope, since, until, page),
        lambda found: since <= found.not_after < until,
    )


def _day(text: str) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        day = _LATEST
    if day >= _LATEST:
        raise InvalidRequest("The day on which certificates end is written like 2027-01-31")
    return day


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


_Reader: TypeAlias = Callable[[Scope, str], Criterion]
_READERS: Final[Mapping[SearchBy, _Reader]] = {
    SearchBy.ID: _by_id,
    SearchBy.SERIAL_NUMBER: _by_serial_number,
    SearchBy.COMMON_NAME: _by_common_name,
    SearchBy.ISSUER: _by_issuer,
    SearchBy.STATUS: _by_status,
}
