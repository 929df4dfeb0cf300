"""Owns a Store that runs every program inside one open transaction, which its caller ends. Works with any engine."""

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from thingmint.records.steps import Program

T = TypeVar("T")


class Driver(Protocol):
    """Runs the statements of programs on a connection."""

    def __call__(self, program: Program[T], *, read_only: bool) -> Awaitable[T]:
        """Run the program's statements one after the other and return its result."""
        ...


class TransactionStore:
    """Implements `registration.kernel.ports.Store`. Writes are durable when the caller has committed the transaction.

    After an error of a program, the whole transaction must be rolled back: there are no savepoints.
    """

    def __init__(self, drive: Driver) -> None:
        self._drive = drive

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""
        return await self._drive(program, read_only=True)

    async def write(self, program: Program[T]) -> T:
        """Run a program in the transaction."""
        return await self._drive(program, read_only=False)

    async def check(self) -> None:
        """Do nothing: the open transaction has shown that the database can be written to."""

    async def close(self) -> None:
        """Do nothing: the caller ends the transaction."""
