"""Owns the types of a program and its steps. Independent of tables and stores.

A transaction is a generator that a store runs. Each function of a table is a generator too, called with ``yield from``.
On SQLite a program runs inside a savepoint, on the event loop or, if it takes long, in the writer's thread. On
PostgreSQL the store awaits every step inside a transaction. An exception that leaves the generator rolls everything
back. A store can run a program again from the start, for instance after a deadlock, so a program must have no effects
other than its statements.
"""

from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")

# Only the store uses the yielded and sent values. A program only passes them through.
Steps: TypeAlias = Generator[object, object, T]

# A store runs it in one transaction. It calls it at the start, and again if the transaction must be repeated.
Program: TypeAlias = Callable[[], Steps[T]]
