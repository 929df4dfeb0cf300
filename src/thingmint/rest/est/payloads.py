"""Owns the form of EST's payloads: DER in base64, PKCS#7, and multipart. Independent of callers and the registry.

- Requests are base64 (RFC 8951, 3), also with white space (3.1), and any Content-Transfer-Encoding is ignored (3).
- Answers are base64 without white space (RFC 8951, 3; RFC 4648, 3.1 and 4), because not all clients ignore it. They
  have the header Content-Transfer-Encoding, because clients of RFC 7030 expect it, and others must ignore it.
"""

import base64
import binascii
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from thingmint.core.errors import InvalidRequest
from thingmint.rest.answers import Answer

PKCS10 = b"application/pkcs10"
_PKCS7 = b"application/pkcs7-mime; smime-type=certs-only"
_PKCS8 = b"application/pkcs8"
_CSR_ATTRIBUTES = b"application/csrattrs"
_BASE64 = ((b"content-transfer-encoding", b"base64"),)
_WHITESPACE = b" \t\r\n"
# RFC 7030, 4.5.2 (as in RFC 8951, 4): the preferred attributes of a request, an ECDSA key on P-256 (RFC 5480, 2.1.1)
# and a signature with SHA-256 (RFC 5758, 3.2). The type of the key is one attribute (RFC 9908, 3.2). Other keys that
# the certificate profile accepts are accepted, too.
_WANTED = bytes.fromhex(
    "3021"
    "301506072a8648ce3d0201310a06082a8648ce3d030107"
    "06082a8648ce3d040302"
)  # fmt: skip


def decoded(body: bytes) -> bytes:
    """Return the DER in a request's body; raise InvalidRequest if the body is not base64."""
    try:
        found = base64.b64decode(body.translate(None, _WHITESPACE), validate=True)
    except binascii.Error as error:
        raise InvalidRequest("The body is not base64 (RFC 8951, 3): send the DER of the request in base64") from error
    if not found:
        raise InvalidRequest("The body is empty: send the DER of the request in base64")
    return found


def certificates_answer(certificates: Sequence[x509.Certificate]) -> Answer:
    """Return certificates as a certs-only message (RFC 7030, 4.1.3 and 4.2.3)."""
    return Answer(200, base64.b64encode(_certs_only(certificates)), _PKCS7, _BASE64)


def csr_attributes_answer() -> Answer:
    """Return the attributes that the service prefers in requests (RFC 7030, 4.5.2, as in RFC 8951, 4)."""
    return Answer(200, base64.b64encode(_WANTED), _CSR_ATTRIBUTES, _BASE64)


def key_and_certificate_answer(pkcs8: bytes, certificate: x509.Certificate, boundary: str) -> Answer:
    """Return a private key, in PKCS#8, and its certificate as two parts (RFC 7030, 4.4.2).

    The boundary must contain a character that base64 does not use.
    """
    parts = ((_PKCS8, pkcs8), (_PKCS7, _certs_only((certificate,))))
    delimiter = b"--" + boundary.encode("ascii")
    # RFC 2046, 5.1.1: the line end before a delimiter belongs to the delimiter.
    body = b"".join(
        b"%b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: base64\r\n\r\n%b\r\n"
        % (delimiter, kind, base64.b64encode(der))
        for kind, der in parts
    )
    content_type = b'multipart/mixed; boundary="' + boundary.encode("ascii") + b'"'
    return Answer(200, body + delimiter + b"--\r\n", content_type)


def _certs_only(certificates: Sequence[x509.Certificate]) -> bytes:
    return pkcs7.serialize_certificates(list(certificates), serialization.Encoding.DER)
