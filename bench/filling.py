"""Owns the filling of a stopped service's database with many certificates; copies one real row and knows no schema."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

DATABASE = "thingmint.sqlite"
CACHE_KIB = 500_000
SAMPLE = 500
SPACING_US = 1000
REPLACED = ("position", "certificate_id", "serial_number", "der", "created_at")


def fill(data_directory: Path, rows: int) -> list[str]:
    """Copy the one certificate of the database until there are so many rows; return the ids of some, spread over all.

    Each copy has a serial number, an encoding and an id of its own; its signature is not valid, and nothing that is
    measured looks at it. The copies have no audit entries.
    """
    connection = apsw.Connection(str(data_directory / DATABASE))
    try:
        # Nothing is lost if the machine fails now, so the journal is left out; the service's mode is restored below.
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
        connection.execute(f"PRAGMA synchronous = OFF; PRAGMA cache_size = -{CACHE_KIB}").fetchall()
        cursor = connection.execute("SELECT * FROM certificate")
        names = [column[0] for column in cursor.getdescription()]
        (template,) = cursor.fetchall()
        original = dict(zip(names, template, strict=True))
        kept = [name for name in names if name not in REPLACED]
        columns = ", ".join([*kept, *REPLACED[1:]])
        marks = ", ".join("?" * (len(kept) + len(REPLACED) - 1))
        sample: list[str] = []
        copies = _copies(original, rows - 1, max(1, rows // SAMPLE), sample)
        constants = tuple(original[name] for name in kept)
        with connection:
            connection.executemany(
                f"INSERT INTO certificate ({columns}) VALUES ({marks})", ((*constants, *copy) for copy in copies)
            )
        connection.execute("ANALYZE")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    finally:
        connection.close()
    return sample


def _copies(
    original: dict[str, object], count: int, each: int, sample: list[str]
) -> Iterator[tuple[str, str, bytes, int]]:
    der, created_at = original["der"], original["created_at"]
    assert isinstance(der, bytes)
    assert isinstance(created_at, int)
    serial = bytes.fromhex(str(original["serial_number"]).zfill(40))
    for number in range(count):
        # The first octet stays, so that the number keeps its sign and its length (X.690, 8.3).
        own = serial[:1] + os.urandom(len(serial) - 1)
        copy = der.replace(serial, own, 1)
        certificate_id = hashlib.sha256(copy).hexdigest()
        if number % each == 0:
            sample.append(certificate_id)
        yield certificate_id, own.hex().lstrip("0"), copy, created_at + (number + 1) * SPACING_US
