"""Owns the comparison of the registry with the leaves of the log. Independent of tables and of the tree."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from thingmint.core.transparency.logged_facts import REVOKED, Subject, facts_in


class Logged(NamedTuple):
    """The facts of a certificate's last leaf, and the leaf's index; None if it is not in the log yet."""

    status: str
    leaf_index: int | None
    serial_number: str | None
    issuer_id: str | None


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
        self._logged: dict[Subject, Logged] = {}
        self._seen: set[Subject] = set()
        self.reactivations: list[str] = []

    def apply(self, index: int | None, leaf: bytes) -> None:
        """Apply the next leaf. The index is None if its entry is not in the log yet."""
        told = facts_in(leaf)
        if told is None:
            return
        if told.is_gone:
            self._logged.pop(told.subject, None)
        elif told.is_of_owner:
            self._set(told.subject, index, told.facts)

    def knows(self, subject: Subject) -> bool:
        """Return whether a leaf describes the certificate."""
        return subject in self._logged

    def compare(self, present: Present, *, is_whole: bool = True) -> Iterator[str]:
        """Yield each difference between a row and the log. Unless the log is whole, a row may have no leaf."""
        logged = self._logged.get(present.subject)
        self._seen.add(present.subject)
        row = _row(present.subject)
        if present.subject.name.rpartition("/")[2] != present.digest:
            yield f"{row}: was changed: it holds another certificate"
        if logged is None:
            unknown = "cannot be compared: no leaf that can be read tells of it"
            yield f"{row}: was inserted: no leaf of the log tells of it" if is_whole else f"{row}: {unknown}"
            return
        if logged.status != present.status:
            yield f"{row}: was changed: its status is {present.status}, {_place(logged)} says {logged.status}"
        if logged.serial_number not in (None, present.serial_number):
            yield f"{row}: was changed: its serial number is {present.serial_number}, not {logged.serial_number}"
        if logged.issuer_id not in (None, present.issuer_id):
            yield f"{row}: was changed: its issuer is {present.issuer_id}, not {logged.issuer_id}"

    def missing(self) -> Iterator[str]:
        """Yield the missing rows. Call it after every row was compared."""
        for subject, logged in self._logged.items():
            if subject not in self._seen:
                yield f"{_row(subject)}: was removed: {_place(logged)} says {logged.status}, and no leaf its deletion"

    def _set(self, subject: Subject, index: int | None, facts: dict[str, str]) -> None:
        before = self._logged.get(subject)
        status = facts["status"]
        if before is not None and before.status == REVOKED and status != REVOKED:
            self.reactivations.append(f"{_row(subject)}: was {REVOKED}, and became {status} with leaf {index}")
        self._logged[subject] = Logged(
            status,
            index,
            facts.get("serial_number") or (before.serial_number if before else None),
            facts.get("issuer_id") or (before.issuer_id if before else None),
        )


def _row(subject: Subject) -> str:
    kind, _, certificate_id = subject.name.partition("/")
    table = "certificate" if kind == "cert" else "ca_certificate"
    return f"{table} {certificate_id} of account {subject.account} in {subject.region}"


def _place(logged: Logged) -> str:
    return "the entry without a leaf yet" if logged.leaf_index is None else f"leaf {logged.leaf_index}"
