"""`thingmint issuer`: owns what is shown of the certificate authorities."""

import json
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from thingmint.cli.settings import fail
from thingmint.data_directory.authorities import (
    ISSUING,
    ROOT,
    RSA_SERVICE,
    SERVER,
    SERVICE,
    AuthorityUnusable,
    certificate_path,
    is_sealed,
    key_path,
    read_certificate,
)
from thingmint.host.words import in_words


def show(data_dir: Path, *, as_json: bool) -> None:
    """Print each authority and the server's certificate."""
    try:
        rows = [
            row for name in (ROOT, ISSUING, SERVICE, RSA_SERVICE, SERVER) if (row := _row(data_dir, name)) is not None
        ]
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


def _row(data_dir: Path, name: str) -> dict[str, str] | None:
    certificate = read_certificate(certificate_path(data_dir, name))
    if certificate is None:
        return None
    return {
        "name": name,
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
