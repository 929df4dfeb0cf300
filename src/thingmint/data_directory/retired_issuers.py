"""Owns the paths of retired issuers' certificates and keys in a data directory.

They are `certificates/issuers/ID.pem` and `keys/issuers/ID.key`. The first certificate of the file is the issuer's;
those above it follow if its root is not the service's own. A key may be missing, because certificates that a retired
issuer has signed stay valid without it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from thingmint.data_directory.certificate_files import (
    AuthorityUnusable,
    certificate_path,
    key_path,
    pem_of,
    read_certificates,
    write_where_different,
)
from thingmint.data_directory.files import make_directory, sync_directory, write_durably
from thingmint.issuance.authorities.issuing_ca import issuer_id_of

RETIRED_ISSUERS = "issuers"
_FILE_NAME = re.compile(r"[0-9a-f]{64}\.pem")


class RetiredIssuer(Struct, frozen=True):
    """The files of a retired issuer."""

    chain: tuple[x509.Certificate, ...]
    """The issuer's certificate, then those above it in its file."""
    name: str
    """Its file name, from `name_of`."""

    @property
    def certificate(self) -> x509.Certificate:
        """The issuer's own certificate."""
        return self.chain[0]


def retired_issuers(data_dir: Path, active: x509.Certificate | None) -> Iterator[RetiredIssuer]:
    """Yield the retired issuers by the end of their validity, the latest first.

    The active issuer is left out: after an interrupted rotation, it is also among the retired ones. Raises
    AuthorityUnusable, which names the file, if a file holds no certificate or another issuer's.
    """
    found = [_read(data_dir, path) for path in sorted((data_dir / "certificates" / RETIRED_ISSUERS).glob("[!.]*"))]
    found.sort(key=lambda retired: retired.certificate.not_valid_after_utc, reverse=True)
    for retired in found:
        if retired.certificate != active:
            yield retired


def name_of(issuer_id: str) -> str:
    """Return the name of a retired issuer's files for `certificate_path` and `key_path`."""
    return f"{RETIRED_ISSUERS}/{issuer_id}"


def destroyed_path(data_dir: Path) -> Path:
    """Return the path of the file that marks the first issuer's key as destroyed, so that no start makes a new one."""
    return data_dir / "certificates" / "issuing-ca.destroyed"


def destroy_key_files(data_dir: Path, own: x509.Certificate | None, certificate: x509.Certificate) -> None:
    """Delete the key of an issuer from the data directory; its certificate is kept among the retired ones.

    ``own`` is the issuer that the first start made. After a crash between two steps, the next start or the next call
    does the rest.
    """
    name = name_of(issuer_id_of(certificate))
    if certificate == own:
        path = certificate_path(data_dir, name)
        make_directory(path.parent)
        write_where_different(path, pem_of(certificate))
        write_durably(destroyed_path(data_dir), b"", 0o644)
        for each in (key_path(data_dir, "issuing-ca"), certificate_path(data_dir, "issuing-ca")):
            each.unlink(missing_ok=True)
            sync_directory(each.parent)
    key = key_path(data_dir, name)
    if key.exists():
        key.unlink()
        sync_directory(key.parent)


def _read(data_dir: Path, path: Path) -> RetiredIssuer:
    if _FILE_NAME.fullmatch(path.name) is None:
        raise AuthorityUnusable(f"{path} is not named ID.pem, where ID is the SHA-256 of the issuer's certificate")
    name = name_of(path.stem)
    chain = read_certificates(certificate_path(data_dir, name))
    issuer_id = issuer_id_of(chain[0])
    if issuer_id != path.stem:
        raise AuthorityUnusable(f"{path} holds the certificate of the issuer {issuer_id}")
    return RetiredIssuer(chain, name)
