"""Owns the tokens of statements, which mark the places where SQLite and PostgreSQL need different SQL.

The engine replaces a token by its own SQL, which is in `storage.dialect`.
"""

FOR_UPDATE = "{FOR_UPDATE}"
"""At the end of a SELECT: locks its rows against changes and deletion until this transaction ends."""

FOR_SHARE = "{FOR_SHARE}"
"""At the end of a SELECT: a shared lock against changes and deletion of its rows until this transaction ends."""

FOR_KEY_SHARE = "{FOR_KEY_SHARE}"
"""At the end of a SELECT: a shared lock against deletion of its rows until this transaction ends."""

CHANGE_POSITION = "{CHANGE_POSITION}"
"""The position of a change when it is written; NULL if transactions overlap, so that it gets one later."""

FOR_UPDATE_SKIP_LOCKED = "{FOR_UPDATE_SKIP_LOCKED}"
"""At the end of a SELECT: as FOR_UPDATE, but without the rows that other transactions have locked."""

# Entries get positions before the commit, so an entry can become visible after one with a higher position.
OPEN_HORIZON = "{OPEN_HORIZON}"
"""A number below that of every transaction that has not ended; NULL if transactions do not overlap."""

OPEN_CEILING = "{OPEN_CEILING}"
"""A number above that of every transaction that has begun to write; NULL if transactions do not overlap."""

DATABASE_TIME = "{DATABASE_TIME}"
"""Microseconds since 1970 by the database's clock; NULL if transactions do not overlap."""

DATABASE_RUN = "{DATABASE_RUN}"
"""A number that differs after the server was restarted or another one has taken its place, for example a standby."""

NOTIFY_CHANGE = "{NOTIFY_CHANGE}"
"""At the end of an INSERT: notifies listening nodes when the transaction is committed."""

REVOCATION_STAMP = "{REVOCATION_STAMP}"
"""The stamp of a revocation that this transaction records. Stamps order revocations."""

REVOCATION_HORIZON = "{REVOCATION_HORIZON}"
"""The stamp from which on there may be revocations that this transaction does not see yet."""

REVOCATION_CEILING = "{REVOCATION_CEILING}"
"""A stamp above those of all transactions so far."""


def before(*columns: str) -> str:
    """Return the condition and the order of a page of rows that goes down from a position.

    The last column is the position, and the others equal their parameters: ``$1`` belongs to the first column, ``$2``
    to the second, and so on. There must be an index of these columns in this order.
    """
    return f"{{BEFORE {' '.join(columns)}}}"


def after(*columns: str) -> str:
    """Return the condition and the order of a page of rows that goes up from a position; see `before`."""
    return f"{{AFTER {' '.join(columns)}}}"
