"""`thingmint issue --verify`: reads the input of a delivery's check, and prints its result."""

from pathlib import Path

import click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from thingmint.cli.devices.delivered import DecryptionSecrets, require_regular
from thingmint.cli.devices.device import ListRefused
from thingmint.cli.devices.options import read_passphrase
from thingmint.cli.devices.recipients import read_recipient
from thingmint.cli.devices.verify import Verification
from thingmint.cli.issuing.issuers_file import ISSUERS
from thingmint.cli.settings import fail
from thingmint.cli.terminal.columns import printable
from thingmint.cli.terminal.numbers import counted
from thingmint.core.error_text import in_words
from thingmint.host.given_files import read_given
from thingmint.issuance.encoding.parsing import certificates_in_pem
from thingmint.issuance.keys.key_reading import KeyRefused, private_key_in_pem

_SHOWN = 50


def verify_delivery(
    folder: Path, recipient: Path | None, recipient_key: Path | None, passphrase_file: Path | None, issuers: Path | None
) -> None:
    """Check the delivery, and end with exit code 1 if it has a problem."""
    if (recipient is None) != (recipient_key is None):
        fail("--recipient and --recipient-key go together")
    try:
        secrets = DecryptionSecrets(
            passphrase=None if passphrase_file is None else read_passphrase(passphrase_file),
            recipient=None if recipient is None else read_recipient(recipient),
            recipient_key=None if recipient_key is None else _read_key(recipient_key),
        )
        found = issuers_of_delivery(folder) if issuers is None else read_issuers(issuers)
        verification = Verification(folder, secrets, found)
        problems = list(verification.problems())
    except (OSError, ListRefused) as error:
        fail(in_words(error))
    for problem in problems[:_SHOWN]:
        click.echo(printable(problem), err=True)
    if problems:
        fail(f"{folder}: {counted(len(problems), 'problem', 'problems')}")
    closed = (
        f"; {counted(verification.closed, 'key is', 'keys are')} sealed and not opened" if verification.closed else ""
    )
    click.echo(f"{folder}: {counted(verification.identities, 'identity', 'identities')}, all well{closed}")


def issuers_of_delivery(folder: Path) -> list[x509.Certificate]:
    """Return the CA certificates in a delivery, none if it has none; raise ListRefused or OSError."""
    path = folder / ISSUERS
    try:
        if path.exists():
            require_regular(path)
    except ValueError as error:
        raise ListRefused(f"{path}: {in_words(error)}") from error
    return read_issuers(path)


def read_issuers(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, none if there is no file; raise ListRefused for other content."""
    if not path.exists():
        return []
    try:
        return certificates_in_pem(read_given(path))
    except ValueError as error:
        raise ListRefused(f"{path} holds no certificates") from error


def _read_key(path: Path) -> rsa.RSAPrivateKey:
    try:
        key = private_key_in_pem(read_given(path), None)
    except KeyRefused as error:
        raise ListRefused(f"{path}: {in_words(error)}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ListRefused(f"{path} holds no private key that can be read") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ListRefused(f"{path} is no RSA key")
    return key
