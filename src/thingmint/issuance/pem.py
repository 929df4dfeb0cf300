"""Owns the PEM text that this service writes; knows no meaning of what it wraps."""

import base64

_COLUMNS = 64


def certificate_pem(der: bytes) -> str:
    """Return the certificate as PEM: 64 columns, LF line ends, one trailing LF (RFC 7468, section 2)."""
    return _pem("CERTIFICATE", der)


def public_key_pem(der: bytes) -> str:
    """Return a SubjectPublicKeyInfo as PEM, in the same layout."""
    return _pem("PUBLIC KEY", der)


def _pem(label: str, der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
