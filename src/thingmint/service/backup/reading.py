"""Owns the reading of a backup: checks every byte of the file against the manifest. Restores nothing."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct, field

from thingmint.core.error_text import in_words
from thingmint.data_directory.authorities import opened_key, sealing_key_material
from thingmint.data_directory.backed_up_files import is_name_of_backup
from thingmint.data_directory.certificate_files import AuthorityUnusable
from thingmint.data_directory.sealing import Sealer
from thingmint.issuance.keys.private_keys import PassphraseMissing, PrivateKey
from thingmint.registration.kernel.ports import SecretSealer
from thingmint.service.backup.container import BackupDamaged, Member, members
from thingmint.service.backup.contents import (
    DIGEST,
    HEAD,
    MANIFEST,
    MANIFEST_SEALED_AS,
    SEALED,
    TABLES,
    BackupHead,
    BackupManifest,
    TableDigest,
    digest_of,
    read_head,
    read_manifest,
)

KEY_SUFFIX, SEALING_KEY = ".key", "keys/sealing.key"
MAX_FILE_BYTES = 1 << 20


class BackupReader:
    """Reads an open file from its beginning. ``manifest`` and ``files`` can be read after `contents` has ended."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the head; raise BackupDamaged if there is none."""
        self._members = members(file)
        first = next(self._members, Member("", b""))
        self.head: BackupHead = read_head(first)
        self.manifest = BackupManifest({}, [])
        self.manifest_digest = ""
        self._sealed = b""
        self._files = {HEAD: digest_of(first.content)}
        self._tables: dict[str, _Running] = {}
        self.files: dict[str, bytes] = {}

    def contents(self) -> Iterator[Member]:
        """Yield files and parts of tables, then compare all of them with the manifest; raise BackupDamaged."""
        for member in self._members:
            if member.name == MANIFEST:
                self._compare(member)
                return
            if member.name.startswith(TABLES):
                self._tables.setdefault(member.name.split("/")[1], _Running()).add(member.content)
            else:
                self._files[member.name] = digest_of(member.content)
                self._keep(member)
            yield member
        raise BackupDamaged(f"{MANIFEST} is missing: the backup is not whole")

    def sealer(self, passphrase: bytes | None) -> Sealer:
        """Return the sealer that uses the sealing key in the backup.

        Raises AuthorityUnusable, which names the key, if the passphrase is wrong or missing.
        """
        content = self.files.get(SEALING_KEY)
        opened = None if content is None else _opened(SEALING_KEY, content, passphrase)
        return Sealer(sealing_key_material(SEALING_KEY, opened), os.urandom)

    def require_keys_open(self, passphrase: bytes | None) -> None:
        """Return if the passphrase opens every key; raise AuthorityUnusable, which names the key."""
        for name, content in self.files.items():
            if name.endswith(KEY_SUFFIX):
                _opened(name, content, passphrase)

    def require_sealed_by(self, sealer: SecretSealer) -> None:
        """Return if the backup was made with the service's sealing key; raise BackupDamaged, ServiceUnavailable."""
        if sealer.unseal(self._sealed, MANIFEST_SEALED_AS) != self.manifest_digest.encode():
            raise BackupDamaged(f"{SEALED} is of another backup of the same service")

    def _keep(self, member: Member) -> None:
        if not is_name_of_backup(member.name) or len(member.content) > MAX_FILE_BYTES:
            raise BackupDamaged(f"{member.name} is not a file that a backup holds")
        self.files[member.name] = member.content

    def _compare(self, member: Member) -> None:
        manifest = read_manifest(member)
        rest = list(self._members)
        if [each.name for each in rest] != [SEALED, DIGEST]:
            raise BackupDamaged(f"behind {MANIFEST} must be {SEALED} and {DIGEST}")
        sealed, digest = rest
        if digest.content != f"{digest_of(member.content + sealed.content)}\n".encode():
            raise BackupDamaged(f"{MANIFEST}, {SEALED} or {DIGEST} was changed")
        for name in sorted(manifest.files.keys() | self._files.keys()):
            if manifest.files.get(name) != self._files.get(name):
                raise BackupDamaged(f"{name} is not what the manifest says: it was changed, added or removed")
        for table in manifest.tables:
            found = self._tables.pop(table.name, _Running())
            if not found.is_of(table):
                raise BackupDamaged(f"the rows of {table.name} are not what the manifest says: they were changed")
        if self._tables:
            raise BackupDamaged(f"the manifest does not have {', '.join(self._tables)}")
        self.manifest, self.manifest_digest, self._sealed = manifest, digest_of(member.content), sealed.content


def _opened(name: str, content: bytes, passphrase: bytes | None) -> PrivateKey:
    try:
        return opened_key(name, content, passphrase)
    except PassphraseMissing as error:
        raise AuthorityUnusable(
            f"{name}: {in_words(error)}: name the file with the backup's passphrase by --passphrase-file"
        ) from error


class _Running(Struct):
    """The sum of a table's parts that were read so far."""

    parts: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, content: bytes) -> None:
        self.parts += 1
        self.digest.update(content)

    def is_of(self, table: TableDigest) -> bool:
        return (self.parts, self.digest.hexdigest()) == (table.parts, table.sha256)


def check_backup(path: Path, progress: Callable[[int], None]) -> BackupReader:
    """Read a whole file and return its reader, which has the manifest; raise BackupDamaged, or OSError.

    ``progress`` receives the number of bytes read.
    """
    with path.open("rb") as file:
        reader = BackupReader(file)
        for _ in reader.contents():
            progress(file.tell())
        reader.head.signed_checkpoint()
        return reader


def checkpoint_of_backup(path: Path) -> str | None:
    """Return the checkpoint in a backup's head, None if the file is not a backup; raise BackupDamaged."""
    with path.open("rb") as file:
        if file.read(len(HEAD)) != HEAD.encode():
            return None
        file.seek(0)
        return BackupReader(file).head.checkpoint
