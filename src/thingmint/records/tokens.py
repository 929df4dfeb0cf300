"""Owns the tokens of statements: the places where SQLite and PostgreSQL need different words; knows neither of them.

A token stands in a statement's text. The engine that runs it puts its own words there; they are in `storage.dialect`.
"""

FOR_UPDATE = "{FOR_UPDATE}"
"""At the end of a SELECT: nobody else changes or deletes its rows before this transaction ends."""

FOR_SHARE = "{FOR_SHARE}"
"""At the end of a SELECT: nobody changes or deletes its rows before this transaction ends; others may do the same."""

FOR_KEY_SHARE = "{FOR_KEY_SHARE}"
"""At the end of a SELECT: nobody deletes its rows before this transaction ends; others may do the same."""

# A change's stamp orders changes so that a reader that asks for those from the horizon on misses none.
CHANGE_STAMP = "{CHANGE_STAMP}"
"""The stamp of what this transaction changes."""

CHANGE_HORIZON = "{CHANGE_HORIZON}"
"""The stamp from which on there may be changes that this transaction does not see yet."""

CHANGE_CEILING = "{CHANGE_CEILING}"
"""A stamp above all that any transaction of this database can have by now."""

REVOCATION_STAMP = "{REVOCATION_STAMP}"
"""The stamp of a revocation that this transaction records; it orders them as `CHANGE_STAMP` orders changes."""

REVOCATION_HORIZON = "{REVOCATION_HORIZON}"
"""The stamp from which on there may be revocations that this transaction does not see yet."""
