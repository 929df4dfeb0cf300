"""Owns the types of a program and of its steps; knows neither tables nor stores.

A transaction is written as a generator: each function of a table is a generator too, composed with ``yield from``. The
store drives it. On SQLite it runs inside a savepoint, on the event loop or, if it takes long, in the writer's thread;
on PostgreSQL every step is awaited inside a transaction. An exception that leaves the generator undoes everything it
did. A program may be run again from the start (after a deadlock, say), so it must have no effect but its statements.
"""

from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")

# What is yielded and sent belongs to the store alone; a program only passes it through.
Steps: TypeAlias = Generator[object, object, T]

# What a store runs in one transaction: it is called at the start, and again if the transaction must be repeated.
Program: TypeAlias = Callable[[], Steps[T]]
