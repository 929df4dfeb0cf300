"""Owns the comparison of the registry with the leaves of the log. Independent of tables and of the tree."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from thingmint.core.transparency.leaf_hashes import StatusChange
from thingmint.core.transparency.logged_facts import REVOKED, Subject, facts_in, is_gone, is_of_owner

# By a certificate's leaves: its status, the leaf's index (None if it is not in the log yet), its serial number and its
# issuer's id. A plain tuple, because there is one for each certificate.
_Logged: TypeAlias = tuple[str, int | None, str | None, str | None]
_UNKNOWN: _Logged = ("", None, None, None)


@dataclass(frozen=True, slots=True)
class Present:
    """A certificate in the registry. ``digest`` is the hexadecimal SHA-256 of its DER."""

    subject: Subject
    status: str
    serial_number: str
    issuer_id: str | None
    digest: str


class Replay:
    """Applies the leaves in their order, then compares the result with the rows of the registry."""

    def __init__(self) -> None:
        # By account and region, then by name, so that one key of a certificate is one text.
        self._logged: defaultdict[tuple[str, str], dict[str, _Logged]] = defaultdict(dict)
        self.reactivations: list[str] = []

    def apply(self, index: int | None, leaf: bytes) -> None:
        """Apply the next leaf. The index is None if its entry is not in the log yet."""
        told = facts_in(leaf)
        if told is not None:
            self._apply(index, told.subject, told.action, told.facts)

    def apply_all(self, indexes: Iterable[int | None], changes: Iterable[StatusChange | None]) -> None:
        """Apply the next leaves with these indexes, as `apply` does."""
        logged_of = self._logged
        for index, change in zip(indexes, changes, strict=False):
            if change is None:
                continue
            heading, name, standing = change
            status, issuer_id, serial_number, _, transfer = standing
            if transfer is not None or not heading.is_plain:
                self._apply(index, Subject(*heading.scope, name), heading.action, standing.facts)
                continue
            logged = logged_of[heading.scope]
            was, _, serial_number_before, issuer_id_before = logged.get(name, _UNKNOWN)
            if was == REVOKED != status:
                self._note_reactivation(Subject(*heading.scope, name), index, status)
            logged[name] = status, index, serial_number or serial_number_before, issuer_id or issuer_id_before

    def knows(self, subject: Subject) -> bool:
        """Return whether a leaf describes the certificate, and no row was compared with it yet."""
        return subject.name in self._logged[subject.account, subject.region]

    def compare(self, present: Present, *, is_whole: bool = True) -> Iterator[str]:
        """Yield each difference between a row and the log. Unless the log is whole, a row may have no leaf.

        No subject has two rows.
        """
        subject = present.subject
        logged = self._logged[subject.account, subject.region].pop(subject.name, None)
        if subject.name.rpartition("/")[2] != present.digest:
            yield f"{_row(subject)}: was changed: it holds another certificate"
        if logged is None:
            unknown = "cannot be compared: no leaf that can be read tells of it"
            yield f"{_row(subject)}: {'was inserted: no leaf of the log tells of it' if is_whole else unknown}"
            return
        status, index, serial_number, issuer_id = logged
        if status != present.status:
            place = _place(index)
            yield f"{_row(subject)}: was changed: its status is {present.status}, {place} says {status}"
        if serial_number not in (None, present.serial_number):
            yield f"{_row(subject)}: was changed: its serial number is {present.serial_number}, not {serial_number}"
        if issuer_id not in (None, present.issuer_id):
            yield f"{_row(subject)}: was changed: its issuer is {present.issuer_id}, not {issuer_id}"

    def missing(self) -> Iterator[str]:
        """Yield the missing rows. Call it after every row was compared."""
        for (account, region), each in self._logged.items():
            for name, (status, index, *_) in each.items():
                row = _row(Subject(account, region, name))
                yield f"{row}: was removed: {_place(index)} says {status}, and no leaf its deletion"

    def _apply(self, index: int | None, subject: Subject, action: str, facts: dict[str, str]) -> None:
        account, region, name = subject
        logged = self._logged[account, region]
        if is_gone(account, action, facts):
            logged.pop(name, None)
        elif is_of_owner(account, action, facts):
            status = facts["status"]
            was, _, serial_number, issuer_id = logged.get(name, _UNKNOWN)
            if was == REVOKED != status:
                self._note_reactivation(subject, index, status)
            logged[name] = (
                status,
                index,
                facts.get("serial_number") or serial_number,
                facts.get("issuer_id") or issuer_id,
            )

    def _note_reactivation(self, subject: Subject, index: int | None, status: str) -> None:
        self.reactivations.append(f"{_row(subject)}: was {REVOKED}, and became {status} with leaf {index}")


def _row(subject: Subject) -> str:
    kind, _, certificate_id = subject.name.partition("/")
    table = "certificate" if kind == "cert" else "ca_certificate"
    return f"{table} {certificate_id} of account {subject.account} in {subject.region}"


def _place(index: int | None) -> str:
    return "the entry without a leaf yet" if index is None else f"leaf {index}"
