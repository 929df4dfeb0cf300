"""Owns the reading of delivered files: finds certificate and private key in each format. Writes nothing."""

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct

from thingmint.cli.devices.formats import ENVELOPED_KEY
from thingmint.cli.devices.recipients import opened
from thingmint.core.error_text import in_words
from thingmint.host.given_files import MOST_BYTES, read_given
from thingmint.issuance.encoding.parsing import certificate_in_der, certificate_in_pem
from thingmint.issuance.keys.key_reading import key_and_certificate_in_pkcs12, private_key_in_der, private_key_in_pem

_ARRAY = re.compile(r"unsigned char (\w+)\[\] = \{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class DecryptionSecrets:
    """The secrets that open encrypted files: the passphrase of PKCS#12, certificate and private key of a recipient."""

    passphrase: bytes | None = field(default=None, repr=False)
    recipient: x509.Certificate | None = None
    recipient_key: rsa.RSAPrivateKey | None = field(default=None, repr=False)


class DeliveredContents(Struct, frozen=True):
    """The contents of a file: the DER of its certificate and the public key of its private key, None where it has none.

    ``is_closed``: the file has a private key whose passphrase or recipient key was not given.
    """

    certificate: bytes | None = None
    public_key: object | None = None
    is_closed: bool = False


def read_delivered(path: Path, secrets: DecryptionSecrets) -> DeliveredContents:
    """Return the contents; raise ValueError if they do not fit the file's name, OSError."""
    content = read_regular(path)
    for ending, read in _READERS.items():
        if path.name.endswith(ending):
            try:
                return read(content, secrets)
            except (TypeError, UnsupportedAlgorithm) as error:
                # `cryptography` raises TypeError for a key that needs a passphrase.
                raise ValueError(in_words(error)) from error
    raise ValueError("its name has an ending that no format has")


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a file; raise OSError, also if it is longer than ``most`` bytes.

    Raises ValueError for a device or a pipe, whose reading may never end.
    """
    require_regular(path)
    return read_given(path, most)


def require_regular(path: Path) -> None:
    """Raise ValueError unless the path is that of a file, OSError if there is nothing."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")


def _certificate_pem(content: bytes, _secrets: DecryptionSecrets) -> DeliveredContents:
    return DeliveredContents(certificate=_der(certificate_in_pem(content)))


def _certificate_der(content: bytes, _secrets: DecryptionSecrets) -> DeliveredContents:
    return DeliveredContents(certificate=_der(certificate_in_der(content)))


def _key_pem(content: bytes, _secrets: DecryptionSecrets) -> DeliveredContents:
    return DeliveredContents(public_key=private_key_in_pem(content, None).public_key())


def _key_der(content: bytes, _secrets: DecryptionSecrets) -> DeliveredContents:
    return DeliveredContents(public_key=private_key_in_der(content).public_key())


def _enveloped(content: bytes, secrets: DecryptionSecrets) -> DeliveredContents:
    if secrets.recipient is None or secrets.recipient_key is None:
        return DeliveredContents(is_closed=True)
    return _key_pem(opened(content, secrets.recipient, secrets.recipient_key), secrets)


def _p12(content: bytes, secrets: DecryptionSecrets) -> DeliveredContents:
    if secrets.passphrase is None:
        return DeliveredContents(is_closed=True)
    key, certificate = key_and_certificate_in_pkcs12(content, secrets.passphrase)
    if key is None or certificate is None:
        raise ValueError("it holds no key or no certificate")
    return DeliveredContents(_der(certificate), key.public_key())


def _combined(content: bytes, secrets: DecryptionSecrets) -> DeliveredContents:
    return DeliveredContents(_certificate_pem(content, secrets).certificate, _key_pem(content, secrets).public_key)


def _c_header(content: bytes, secrets: DecryptionSecrets) -> DeliveredContents:
    arrays = {
        name: bytes(int(octet, 16) for octet in body.replace(",", " ").split())
        for name, body in _ARRAY.findall(content.decode("ascii"))
    }
    try:
        certificate, key = arrays["device_certificate_der"], arrays["device_private_key_der"]
    except KeyError as error:
        raise ValueError(f"it has no array {error.args[0]}") from error
    return DeliveredContents(_certificate_der(certificate, secrets).certificate, _key_der(key, secrets).public_key)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


# The longer endings first: `.key.pem` ends in `.pem`, too.
_READERS = {
    ".cert.pem": _certificate_pem,
    ".cert.der": _certificate_der,
    ".key.pem": _key_pem,
    ".key.der": _key_der,
    ENVELOPED_KEY: _enveloped,
    ".p12": _p12,
    ".pem": _combined,
    ".h": _c_header,
}
