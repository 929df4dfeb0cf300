"""Owns the contents of a backup's members: its head, files, rows of tables, and the manifest. Opens no file.

1. `backup.json`: the head, which identifies the service and has the signed checkpoint of its log.
2. The files of the data directory, such as `keys/root-ca.key`; `credentials` is sealed by `keys/sealing.key`.
3. `tables/NAME/NUMBER.jsonl.gz`: the rows of a table, a JSON array on each line. Bytes are Base64.
4. `manifest.json`: the SHA-256 of every member before it, and how many rows each table has.
5. `manifest.sealed`: the SHA-256 of the manifest, sealed by `keys/sealing.key`. It can be made only with this key.
6. `manifest.sha256`: the SHA-256 of 4 and 5, with which a backup can be checked without the key.
"""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from thingmint.core.error_text import in_words
from thingmint.core.transparency.checkpoint import CheckpointInvalid, LogKey, SignedCheckpoint, key_of_text
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.registration.log.verified import Evidence
from thingmint.service.backup.container import MAX_MEMBER_BYTES, BackupDamaged, Member
from thingmint.storage.sqlite.copied_tables import ColumnKind, CopiedTable

HEAD, MANIFEST, SEALED, DIGEST = "backup.json", "manifest.json", "manifest.sealed", "manifest.sha256"
TABLES = "tables/"
FORMAT, FORMAT_VERSION = "thingmint-backup", 1
MANIFEST_SEALED_AS = "the manifest of a backup"
PART_BYTES = 1 << 20
"""A part of a table ends with the row that makes it this large, in bytes before compression."""
_GZIP = 16 + zlib.MAX_WBITS


class BackupHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identifies the service and its log. ``began_at`` (UTC) is before the moment of the snapshot."""

    format: str
    format_version: int
    thingmint: str
    engine: str
    schema_version: int
    began_at: str
    account: str
    region: str
    keys_are_sealed: bool
    log_key: str
    checkpoint: str

    @property
    def key(self) -> LogKey:
        """The public key of the log; raises BackupDamaged if it is not valid."""
        try:
            return key_of_text(self.log_key)
        except CheckpointInvalid as error:
            raise BackupDamaged(f"{HEAD}: {in_words(error)}") from error

    def signed_checkpoint(self) -> SignedCheckpoint:
        """Return the checkpoint after its signature was verified; raise BackupDamaged if it is invalid."""
        try:
            return Evidence(b"", is_signed).checkpoint(self.checkpoint, self.key)
        except CheckpointInvalid as error:
            raise BackupDamaged(f"{HEAD}: {in_words(error)}") from error


class TableDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest's entry for a table: the number of its rows, and one SHA-256 of the contents of all its parts."""

    name: str
    rows: int
    parts: int
    sha256: str
    last_number: int


class BackupManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest; ``files`` maps the names of the head and of each file to their SHA-256."""

    files: dict[str, str]
    tables: list[TableDigest]

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables)


def encoded(value: msgspec.Struct) -> bytes:
    """Return the struct as the JSON of a member."""
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def read_head(member: Member) -> BackupHead:
    """Return the head; raise BackupDamaged if this version cannot read it."""
    if member.name != HEAD:
        raise BackupDamaged(f"the file does not begin with {HEAD}: it is not a backup")
    try:
        version = msgspec.json.decode(member.content)["format_version"]
        if version != FORMAT_VERSION:
            raise BackupDamaged(f"the backup has format {version}; this version of Thingmint reads {FORMAT_VERSION}")
        head = msgspec.json.decode(member.content, type=BackupHead)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise BackupDamaged(f"{HEAD} cannot be read") from error
    if head.format != FORMAT:
        raise BackupDamaged(f"{HEAD} is not that of a backup")
    return head


def read_manifest(member: Member) -> BackupManifest:
    """Return the manifest; raise BackupDamaged if it cannot be read."""
    try:
        return msgspec.json.decode(member.content, type=BackupManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupDamaged(f"{MANIFEST} cannot be read") from error


def digest_of(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def part_name(table: str, number: int) -> str:
    """Return the name of a part of a table."""
    return f"{TABLES}{table}/{number:08}.jsonl.gz"


def part_of_rows(table: CopiedTable, lines: Sequence[bytes], number: int) -> Member:
    """Return a part of a table from the lines of its rows."""
    compressor = zlib.compressobj(1, wbits=_GZIP)
    content = compressor.compress(b"".join(lines)) + compressor.flush()
    return Member(part_name(table.name, number), content)


def lines_of_rows(table: CopiedTable, rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Yield the line of each row."""
    places = [place for place, kind in enumerate(table.kinds) if kind is ColumnKind.BYTES]
    for row in rows:
        values = list(row)
        for place in places:
            if values[place] is not None:
                values[place] = base64.b64encode(values[place]).decode()
        yield msgspec.json.encode(values) + b"\n"


def rows_of_part(table: CopiedTable, member: Member) -> list[list[Any]]:
    """Return the rows of a part; raise BackupDamaged if they are not rows of the table."""
    try:
        decompressor = zlib.decompressobj(wbits=_GZIP)
        text = decompressor.decompress(member.content, MAX_MEMBER_BYTES)
        if not decompressor.eof or decompressor.unused_data:
            raise BackupDamaged(f"{member.name} does not end where it should")
        return [_row(table, line) for line in text.splitlines()]
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError, TypeError) as error:
        raise BackupDamaged(f"{member.name} does not hold rows of {table.name}") from error


_TYPES = {ColumnKind.TEXT: str, ColumnKind.INTEGER: int, ColumnKind.BYTES: str}


def _row(table: CopiedTable, line: bytes) -> list[Any]:
    values = msgspec.json.decode(line, type=list)
    if len(values) != len(table.columns):
        raise ValueError("a row has another number of columns")
    for place, kind in enumerate(table.kinds):
        value = values[place]
        if value is not None and type(value) is not _TYPES[kind]:
            raise ValueError("a value is of another kind")
        if value is not None and kind is ColumnKind.BYTES:
            values[place] = base64.b64decode(str(value), validate=True)
    return values
