"""Owns the PEM text that this service writes. Does not interpret its content."""

import base64
from typing import Protocol

_COLUMNS = 64


class Encoded(Protocol):
    """A certificate, and the text that the caller sent if it differs from `certificate_pem`."""

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        ...

    @property
    def pem(self) -> str | None:
        """The text that the caller sent, or None."""
        ...


def certificate_pem(der: bytes) -> str:
    """Return the certificate as PEM: 64 columns, LF line ends, one trailing LF (RFC 7468, section 2)."""
    return _pem("CERTIFICATE", der)


def sent_pem(certificate: Encoded) -> str:
    """Return the text that the caller sent, or the service's PEM if there is no other text."""
    return certificate.pem or certificate_pem(certificate.der)


def public_key_pem(der: bytes) -> str:
    """Return a SubjectPublicKeyInfo as PEM, in the same layout."""
    return _pem("PUBLIC KEY", der)


def _pem(label: str, der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
