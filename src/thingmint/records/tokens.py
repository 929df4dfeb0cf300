"""Owns the tokens of statements: the places where SQLite and PostgreSQL need different words; knows neither of them.

A token stands in a statement's text. The engine that runs it puts its own words there; they are in `storage.dialect`.
"""

FOR_UPDATE = "{FOR_UPDATE}"
"""At the end of a SELECT: nobody else changes or deletes its rows before this transaction ends."""

FOR_SHARE = "{FOR_SHARE}"
"""At the end of a SELECT: nobody changes or deletes its rows before this transaction ends; others may do the same."""

FOR_KEY_SHARE = "{FOR_KEY_SHARE}"
"""At the end of a SELECT: nobody deletes its rows before this transaction ends; others may do the same."""

CHANGE_POSITION = "{CHANGE_POSITION}"
"""The position of a change when it is written: NULL where transactions overlap, so that it must be placed later."""

FOR_UPDATE_SKIP_LOCKED = "{FOR_UPDATE_SKIP_LOCKED}"
"""At the end of a SELECT: as FOR_UPDATE, but without the rows that somebody else has locked."""

# Positions are given before a transaction ends, so an entry of a lower position can appear after one of a higher.
OPEN_HORIZON = "{OPEN_HORIZON}"
"""A number below that of every transaction that has not ended; NULL where transactions follow one another."""

OPEN_CEILING = "{OPEN_CEILING}"
"""A number above that of every transaction that has begun to write; NULL where transactions follow one another."""

DATABASE_TIME = "{DATABASE_TIME}"
"""Microseconds since 1970 by the database's clock; NULL where transactions follow one another."""

NOTIFY_CHANGE = "{NOTIFY_CHANGE}"
"""At the end of an INSERT: tells nodes that listen when the transaction is committed."""
