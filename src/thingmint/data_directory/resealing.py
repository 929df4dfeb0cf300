"""Owns adding, changing and removing the passphrase of all keys in a data directory; a crash at any point is safe.

1. Every key is encrypted again and written to `NAME.key.resealed` beside its file. A crash so far changes nothing.
2. The file `resealed` is written. From now on, the new passphrase is the valid one.
3. Each new file replaces the old one, then `resealed` is removed. After a crash, the next start or the next `thingmint
   seal` calls `settle`: without `resealed`, it removes the new files; with it, it replaces the old files.

The key that seals secrets in the database is one of these files, so the database needs no change.
"""

from collections.abc import Iterator
from pathlib import Path

from thingmint.core.error_text import reason_of
from thingmint.data_directory.certificate_files import AuthorityUnusable, is_sealed
from thingmint.data_directory.files import remove_leftovers, sync_directory, write_durably
from thingmint.issuance.keys.private_keys import PrivateKey, PrivateKeyError, dump_private_key, load_private_key

_MARK = "resealed"
_STAGED = ".resealed"


def reseal(data_dir: Path, present: bytes | None, wanted: bytes | None) -> int:
    """Encrypt every key with another passphrase, or decrypt it; return how many keys were changed.

    The caller holds the lock of the keys' directory. Raises AuthorityUnusable, which names the file, if the present
    passphrase does not decrypt a key, OSError if a file cannot be written; nothing is changed then. A key that the
    wanted passphrase decrypts needs no change: `settle` may have completed an earlier call after a crash.
    """
    settle(data_dir)
    staged = {path: _resealed(path, present, wanted) for path in _keys(data_dir)}
    changed = {path: content for path, content in staged.items() if content is not None}
    for path, content in changed.items():
        write_durably(_staged(path), content, 0o600)
    if changed:
        write_durably(data_dir / "keys" / _MARK, b"", 0o600)
        settle(data_dir)
    return len(changed)


def settle(data_dir: Path) -> None:
    """Complete or undo an interrupted change; the caller holds the lock of the keys' directory."""
    mark = data_dir / "keys" / _MARK
    is_decided = mark.exists()
    for folder in _folders(data_dir):
        remove_leftovers(folder)
        for staged in sorted(folder.glob(f"*.key{_STAGED}")):
            if is_decided:
                staged.replace(staged.with_name(staged.name.removesuffix(_STAGED)))
            else:
                staged.unlink()
        sync_directory(folder)
    if is_decided:
        mark.unlink()
        sync_directory(mark.parent)


def is_being_resealed(data_dir: Path) -> bool:
    """Return whether the new passphrase is the valid one, but not all files have been replaced yet."""
    return (data_dir / "keys" / _MARK).exists()


def _resealed(path: Path, present: bytes | None, wanted: bytes | None) -> bytes | None:
    """Return the key in its new form, None if it already has this form."""
    stored = path.read_bytes()
    if not is_sealed(stored):
        return None if wanted is None else dump_private_key(_opened(path, stored, None), wanted)
    if wanted is not None:
        try:
            load_private_key(stored, wanted)
        except PrivateKeyError:
            pass
        else:
            return None
    return dump_private_key(_opened(path, stored, present), wanted)


def _opened(path: Path, stored: bytes, passphrase: bytes | None) -> PrivateKey:
    try:
        return load_private_key(stored, passphrase)
    except PrivateKeyError as error:
        raise AuthorityUnusable(f"{path}: {reason_of(error)}") from error


def _keys(data_dir: Path) -> list[Path]:
    return [path for folder in _folders(data_dir) for path in sorted(folder.glob("*.key"))]


def _folders(data_dir: Path) -> Iterator[Path]:
    for folder in (data_dir / "keys", data_dir / "keys" / "issuers"):
        if folder.is_dir():
            yield folder


def _staged(path: Path) -> Path:
    return path.with_name(path.name + _STAGED)
