"""Owns the list of files that all nodes of a database share, and the writing of them into another data directory.

They are the authorities' certificates and keys, and the key that seals secrets. A file is named by its path below the
data directory. Keys are unencrypted PKCS#8 PEM in memory, and encrypted with the passphrase on disk.
"""

from collections.abc import Mapping
from pathlib import Path

from thingmint.data_directory.authorities import ISSUING, ROOT, RSA_SERVICE, SEALING, SERVICE, opened_key
from thingmint.data_directory.certificate_files import AuthorityUnusable, certificate_path, key_path
from thingmint.data_directory.files import make_directory, write_durably
from thingmint.data_directory.retired_issuers import RETIRED_ISSUERS, destroy_key_files, destroyed_path
from thingmint.issuance.authorities.issuing_ca import issuer_id_of
from thingmint.issuance.encoding.parsing import certificate_in_pem
from thingmint.issuance.keys.private_keys import PrivateKey, dump_private_key, load_private_key

_CERTIFICATES = (ROOT, ISSUING, SERVICE, RSA_SERVICE)
_KEYS = (*_CERTIFICATES, SEALING)
ROOT_KEY = f"keys/{ROOT}.key"
_ROOT_CERTIFICATE = f"certificates/{ROOT}.pem"
_ISSUING_KEY = f"keys/{ISSUING}.key"
_ISSUING_CERTIFICATE = f"certificates/{ISSUING}.pem"


def shared_names(data_dir: Path) -> list[str]:
    """Return the paths of the existing files, relative to the data directory."""
    paths = [certificate_path(data_dir, name) for name in _CERTIFICATES]
    paths += [key_path(data_dir, name) for name in _KEYS]
    paths += sorted((data_dir / "certificates" / RETIRED_ISSUERS).glob("[!.]*.pem"))
    paths += sorted((data_dir / "keys" / RETIRED_ISSUERS).glob("[!.]*.key"))
    return [path.relative_to(data_dir).as_posix() for path in paths if path.exists()]


def read_shared(data_dir: Path, name: str, passphrase: bytes | None) -> bytes:
    """Return the content of a shared file; raise AuthorityUnusable if a key cannot be decrypted, or OSError."""
    path = data_dir / name
    stored = path.read_bytes()
    if not name.endswith(".key"):
        return stored
    return dump_private_key(opened_key(str(path), stored, passphrase), None)


def issuer_of_key(data_dir: Path, name: str) -> str | None:
    """Return the id of the issuer whose key this shared file is; None if it is no issuer's key."""
    if name == _ISSUING_KEY:
        return issuer_id_of(certificate_in_pem((data_dir / _ISSUING_CERTIFICATE).read_bytes()))
    return Path(name).stem if name.startswith(f"keys/{RETIRED_ISSUERS}/") else None


def write_shared(data_dir: Path, contents: Mapping[str, bytes], passphrase: bytes) -> None:
    """Write the files of a service into a directory that has no root yet; a key without content is not written.

    The root's certificate is written last, so that the next call completes an interrupted one. Raises AuthorityUnusable
    if a different key exists already, OSError if a file cannot be written.
    """
    for folder in ("keys", "certificates"):
        make_directory(data_dir / folder / RETIRED_ISSUERS)
    for name, content in contents.items():
        if name == _ROOT_CERTIFICATE or not content:
            continue
        if name.endswith(".key"):
            _write_key(data_dir / name, load_private_key(content, None), passphrase)
        else:
            write_durably(data_dir / name, content, 0o644)
    if _ROOT_CERTIFICATE not in contents:
        raise AuthorityUnusable(f"the database has no copy of {_ROOT_CERTIFICATE}")
    if _ISSUING_CERTIFICATE not in contents:
        write_durably(destroyed_path(data_dir), b"", 0o644)
    elif not contents.get(_ISSUING_KEY):
        own = certificate_in_pem(contents[_ISSUING_CERTIFICATE])
        destroy_key_files(data_dir, own, own)
    write_durably(data_dir / _ROOT_CERTIFICATE, contents[_ROOT_CERTIFICATE], 0o644)


def _write_key(path: Path, private_key: PrivateKey, passphrase: bytes) -> None:
    if path.exists():
        stored = path.read_bytes()
        present = opened_key(str(path), stored, passphrase)
        if present.public_key() != private_key.public_key():
            raise AuthorityUnusable(f"{path} is not the key that the nodes of the database have: move it away")
        return
    write_durably(path, dump_private_key(private_key, passphrase), 0o600)
