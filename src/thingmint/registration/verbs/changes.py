"""Owns what a transaction does with the notes of what changed for devices; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.records.steps import Steps


class ChangeVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def note_change(self, resource: str) -> Steps[None]:
        """Note that the resource changes with this transaction; others that note the same resource wait for its end."""
        ...

    def changes_from(self, stamp: int, limit: int) -> Steps[tuple[int, Sequence[str]]]:
        """Return the stamp to ask from next, and up to ``limit`` resources that may have changed since this one."""
        ...
