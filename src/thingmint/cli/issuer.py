"""`thingmint issuer`: owns what is shown of the certificate authorities."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from thingmint.cli.settings import fail
from thingmint.data_directory.authorities import ISSUING, ROOT, RSA_SERVICE, SERVER, SERVICE
from thingmint.data_directory.certificate_files import (
    AuthorityUnusable,
    certificate_path,
    is_sealed,
    key_path,
    read_certificate,
)
from thingmint.data_directory.retired_issuers import retired_issuers
from thingmint.host.words import in_words

# Of issuers of device certificates. Their ids are the SHA-256 of their certificates, which is shown in any case.
_ACTIVE, _RETIRED = "ACTIVE", "RETIRED"


def show(data_dir: Path, *, as_json: bool) -> None:
    """Print each authority and the server's certificate."""
    try:
        rows = list(_rows(data_dir))
    except (AuthorityUnusable, OSError) as error:
        fail(in_words(error))
    if not rows:
        fail(f"{data_dir} holds no authorities yet: `thingmint serve` makes them")
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(str(row["name"]))
        for label, value in row.items():
            if label != "name":
                click.echo(f"  {label.replace('_', ' '):<14} {value}")


def _rows(data_dir: Path) -> Iterator[dict[str, str]]:
    for name in (ROOT, ISSUING, SERVICE, RSA_SERVICE, SERVER):
        certificate = read_certificate(certificate_path(data_dir, name))
        if certificate is not None:
            yield _row(data_dir, name, certificate, _ACTIVE if name == ISSUING else None)
        if name == ISSUING:
            for retired in retired_issuers(data_dir, certificate):
                yield _row(data_dir, retired.name, retired.certificate, _RETIRED)


def _row(data_dir: Path, name: str, certificate: x509.Certificate, status: str | None) -> dict[str, str]:
    return {
        "name": name,
        **({} if status is None else {"status": status}),
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "key": _key_kind(certificate),
        "serial_number": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "private_key": _private_key(data_dir, name),
    }


def _key_kind(certificate: x509.Certificate) -> str:
    public_key = certificate.public_key()
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"RSA {public_key.key_size}"
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    return f"ECDSA {public_key.curve.name}"


def _private_key(data_dir: Path, name: str) -> str:
    if name == SERVER:
        return "in the memory of the running service"
    path = key_path(data_dir, name)
    try:
        return f"{path} ({'sealed by a passphrase' if is_sealed(path.read_bytes()) else 'not sealed'})"
    except FileNotFoundError:
        return "not in the data directory"
