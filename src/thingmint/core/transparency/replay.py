"""Owns what the registry must hold according to the leaves of the log; knows neither tables nor the tree."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from thingmint.core.transparency.told import REVOKED, Subject, told_by


class Logged(NamedTuple):
    """What the last leaf of a certificate says, and which leaf that is; None if it has no place yet."""

    status: str
    leaf_index: int | None
    serial_number: str | None
    issuer_id: str | None


@dataclass(frozen=True, slots=True)
class Present:
    """A certificate as the registry has it; ``digest`` is the SHA-256 of its DER in hex."""

    subject: Subject
    status: str
    serial_number: str
    issuer_id: str | None
    digest: str


class Replay:
    """Follows the leaves in their order, then compares with the rows of the registry."""

    def __init__(self) -> None:
        self._logged: dict[Subject, Logged] = {}
        self._seen: set[Subject] = set()
        self.reactivations: list[str] = []

    def apply(self, index: int | None, leaf: bytes) -> None:
        """Take the next leaf; without an index it is of an entry that has no place yet."""
        told = told_by(leaf)
        if told is None:
            return
        if told.is_gone:
            self._logged.pop(told.subject, None)
        elif told.is_of_owner:
            self._set(told.subject, index, told.facts)

    def knows(self, subject: Subject) -> bool:
        """Return whether a leaf has told of the certificate."""
        return subject in self._logged

    def compare(self, present: Present, *, is_whole: bool = True) -> Iterator[str]:
        """Yield what of a row does not agree with the log; without all of its leaves, a row may have none."""
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
        """Yield which rows are gone, after every row was compared."""
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
