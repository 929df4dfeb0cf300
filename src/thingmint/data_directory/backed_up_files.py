"""Owns the list of files of a data directory in a backup, and the writing of them into an empty directory.

These are keys, certificates, and the administrator's access key. The next start makes the other files from these or
from the database, except the settings, which belong to the operator.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from thingmint.core.error_text import reason_of
from thingmint.data_directory.certificate_files import AuthorityUnusable, is_sealed
from thingmint.data_directory.files import make_directory, write_durably
from thingmint.data_directory.handover import CREDENTIALS, ENDPOINTS, STORAGE
from thingmint.data_directory.sealing import Sealer
from thingmint.issuance.keys.private_keys import PrivateKeyError, dump_private_key, load_private_key

_FOLDERS = ("certificates", "certificates/issuers", "keys", "keys/issuers")
_PATTERNS = ("*.pem", "*.destroyed", "*.key")
_SEALED_AS = "the credentials in a backup"
_DERIVED = ("ca.pem", "device-ca.pem", ENDPOINTS, STORAGE)
_SECRET_MODE, _PUBLIC_MODE = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class KeysForBackup:
    """The form of keys in a backup: an encrypted key stays unchanged, any other one is encrypted with the passphrase.

    ``present`` decrypts keys. With ``wanted``, all keys are encrypted with it instead. Without any passphrase, a key
    that is not encrypted stays so.
    """

    present: bytes | None = field(repr=False)
    wanted: bytes | None = field(repr=False)

    def key(self, path: Path) -> bytes:
        """Return a key in the form of the backup; raise AuthorityUnusable, which names the file."""
        stored = path.read_bytes()
        if is_sealed(stored) and self.wanted is None:
            return stored
        try:
            opened = load_private_key(stored, self.present if is_sealed(stored) else None)
        except PrivateKeyError as error:
            raise AuthorityUnusable(f"{path}: {reason_of(error)}") from error
        return dump_private_key(opened, self.wanted or self.present)


def are_sealed(data_dir: Path) -> bool:
    """Return whether every key in the directory is encrypted with a passphrase."""
    keys = [path for folder in _FOLDERS for path in (data_dir / folder).glob("*.key")]
    return all(is_sealed(path.read_bytes()) for path in keys)


def files_for_backup(data_dir: Path, keys: KeysForBackup, sealer: Sealer) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file, with sealed credentials; the caller holds the lock of the key folder.

    Raises AuthorityUnusable if a key that must be decrypted cannot be, OSError.
    """
    for folder in _FOLDERS:
        found = sorted(path for pattern in _PATTERNS for path in (data_dir / folder).glob(pattern))
        for path in found:
            yield f"{folder}/{path.name}", keys.key(path) if path.suffix == ".key" else path.read_bytes()
    credentials = data_dir / CREDENTIALS
    if credentials.exists():
        yield CREDENTIALS, sealer.seal(credentials.read_bytes(), _SEALED_AS)


def is_name_of_backup(name: str) -> bool:
    """Return whether a backup may hold a file of this name; a restore writes no other files."""
    path = PurePosixPath(name)
    folder, is_plain = str(path.parent), str(path) == name and not path.name.startswith(".")
    return name == CREDENTIALS or (is_plain and folder in _FOLDERS and any(map(path.match, _PATTERNS)))


def write_file_of_backup(data_dir: Path, name: str, content: bytes) -> None:
    """Write a file durably, with credentials still sealed; raise OSError."""
    path = data_dir / name
    for folder in _FOLDERS:
        make_directory(data_dir / folder)
    write_durably(path, content, _SECRET_MODE if path.suffix == ".key" or name == CREDENTIALS else _PUBLIC_MODE)


def unseal_credentials(data_dir: Path, sealer: Sealer) -> None:
    """Replace the sealed form of the administrator's access key by the key; raise ServiceUnavailable, OSError."""
    path = data_dir / CREDENTIALS
    if path.exists():
        write_durably(path, sealer.unseal(path.read_bytes(), _SEALED_AS), _SECRET_MODE)


def present_files(data_dir: Path, *others: str) -> list[Path]:
    """Return the files and folders of a service in the directory, also those with the given names."""
    names = ("keys", "certificates", CREDENTIALS, *_DERIVED, *others)
    return [data_dir / name for name in names if (data_dir / name).exists()]
