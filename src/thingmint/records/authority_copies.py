"""Owns the table of the sealed files that every node of a service needs: its authorities and its sealing key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE

COPIES = "SELECT name, content FROM authority_copy ORDER BY name"
NAMES = "SELECT name FROM authority_copy ORDER BY name"
# If two nodes start for the first time at once, the second waits here for the first's commit and then sees its row.
INSERT_COPY = (
    "INSERT INTO authority_copy (name, issuer_id, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING name"
)
LOCK_COPIES = f"SELECT name FROM authority_copy WHERE name = $1{FOR_UPDATE}"  # noqa: S608  a token
REPLACE_COPY = "UPDATE authority_copy SET content = $1 WHERE name = $2 AND content = $3 RETURNING name"
EMPTY_COPY = "UPDATE authority_copy SET content = $1 WHERE name = $2 AND content <> $1 RETURNING name"
EMPTY_COPIES_OF_ISSUER = "UPDATE authority_copy SET content = $1 WHERE issuer_id = $2 RETURNING name"
DELETE_COPIES = "DELETE FROM authority_copy RETURNING name"

SEALING_KEY = "keys/sealing.key"
"""The copy that the passphrase opens. It opens all other copies."""
_TAKEN_OUT = b""


@dataclass(frozen=True, slots=True)
class AuthorityCopy:
    """A file, named by its path in the data directory. ``issuer_id`` is set for the key of an issuer of devices."""

    name: str
    content: bytes = field(repr=False)
    issuer_id: str | None = None


def copies() -> Steps[Mapping[str, bytes]]:
    """Return all contents by name. The content of a removed key is None."""
    return {name: bytes(content) for name, content in (yield from rows_of(COPIES))}


def names() -> Steps[Sequence[str]]:
    """Return the names of all copies, including removed keys."""
    return [name for (name,) in (yield from rows_of(NAMES))]


def add_all(sealing_key: AuthorityCopy, others: Sequence[AuthorityCopy]) -> Steps[bool]:
    """Store the copies of a new service. If the database has a sealing key already, store nothing and return False."""
    if not (yield from _insert(sealing_key)):
        return False
    for each in others:
        yield from _insert(each)
    return True


def add_missing(added: Sequence[AuthorityCopy]) -> Steps[None]:
    """Store the copies that do not exist yet."""
    for each in added:
        yield from _insert(each)


def lock() -> Steps[None]:
    """Make other nodes that call this wait until this transaction ends. Has no effect if there are no copies."""
    yield from rows_of(LOCK_COPIES, SEALING_KEY)


def replace_sealing_key(before: bytes, after: bytes) -> Steps[bool]:
    """Store the sealing key under another passphrase; return False if another node has changed it meanwhile."""
    return (yield from row_of(REPLACE_COPY, after, SEALING_KEY, before)) is not None


def take_out(name: str) -> Steps[bool]:
    """Remove the content of a key permanently; return whether there was content."""
    return (yield from row_of(EMPTY_COPY, _TAKEN_OUT, name)) is not None


def take_out_issuer(issuer_id: str) -> Steps[None]:
    """Remove the content of an issuer's key permanently."""
    yield from rows_of(EMPTY_COPIES_OF_ISSUER, _TAKEN_OUT, issuer_id)


def delete_all() -> Steps[int]:
    """Delete all copies; return their number."""
    return len((yield from rows_of(DELETE_COPIES)))


def _insert(copy: AuthorityCopy) -> Steps[bool]:
    return (yield from row_of(INSERT_COPY, copy.name, copy.issuer_id, copy.content)) is not None
