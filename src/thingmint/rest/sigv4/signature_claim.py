"""Owns the parsing of a signature, from the Authorization header or from the query of a presigned URL.

Does no I/O. For any content of a request, only AuthenticationMissing and SignatureIncomplete are raised.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from msgspec import Struct

from thingmint.core.errors import AuthenticationMissing, SignatureIncomplete
from thingmint.rest.sigv4.canonical import ALGORITHM, CredentialScope, query_pairs

MAX_EXPIRES = 604_800  # One week, as AWS bounds X-Amz-Expires.
TIMESTAMP_FORMAT = "%Y%m%dT%H%M%SZ"

Headers = Mapping[bytes, Sequence[bytes]]

_AUTHORIZATION = b"authorization"
# The form that most clients write. Other forms are read part by part, for an error that names the part.
_USUAL_FORM = re.compile(
    ALGORITHM.encode() + rb" Credential=([^\s,=]+), ?SignedHeaders=([^\s,=]+), ?Signature=([^\s,=]+)", re.ASCII
)
_HEADER_PARAMETERS = ("Credential", "Signature", "SignedHeaders")
_REQUIRED_IN_QUERY = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
_ALLOWED_IN_QUERY = frozenset({*_REQUIRED_IN_QUERY, "X-Amz-Expires", "X-Amz-Security-Token"})
_SIGNATURE_IN_QUERY = re.compile(rb"(?:^|&)X-Amz-Signature=[^&]*")
_TOKEN_IN_QUERY = re.compile(rb"(?:^|&)X-Amz-Security-Token=[^&]*")
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
# RFC 9110, 5.6.7 requires GMT; botocore writes RFC 5322's -0000, which means the same.
_HTTP_DATE = re.compile(r"([A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}) (?:GMT|-0000)")
_HTTP_DATE_FORMAT = "%a, %d %b %Y %H:%M:%S"
_HEADER_NAMES = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+(?:;[a-z0-9!#$%&'*+.^_`|~-]+)*")
_CREDENTIAL_PARTS = 5
_MAX_ACCESS_KEY_ID = 128
_EXPIRES = re.compile(r"[0-9]{1,6}")
# A client sends the same credential all day, and always names the same headers, so parsed values are cached.
_REMEMBERED = 1024


class SignatureClaim(Struct, frozen=True):
    """The claims of a signature in the header or the query; nothing has been verified.

    ``valid_for`` is the validity of a presigned URL, None for others; ``raw_query`` is the part of the query that was
    signed.
    """

    access_key_id: str
    scope: CredentialScope
    signed_headers: tuple[bytes, ...]
    signature: str
    timestamp: str
    signed_at: datetime
    valid_for: timedelta | None
    session_token: str | None
    raw_query: bytes

    def __repr__(self) -> str:
        # Without the signature and the session token.
        return f"SignatureClaim({self.access_key_id!r}, {self.scope}, {self.timestamp!r})"


def read_claim(raw_query: bytes, headers: Headers, *, signs_token: bool = True) -> SignatureClaim:
    """Return the claims of the signature; without ``signs_token`` it does not cover a session token in the query.

    Raises AuthenticationMissing if there is no signature, SignatureIncomplete if there are two, or if a part is missing
    or cannot be parsed.
    """
    in_query = _query_parameters(raw_query)
    in_header = headers.get(_AUTHORIZATION, ())
    if len(in_header) + bool(in_query) > 1:
        raise SignatureIncomplete("A request has one signature: one Authorization header, or one in the query")
    if in_query:
        signed = _SIGNATURE_IN_QUERY.sub(b"", raw_query)
        return _claim_of_query(in_query, signed if signs_token else _TOKEN_IN_QUERY.sub(b"", signed))
    if in_header:
        return _claim_of_header(in_header[0], headers, raw_query)
    raise AuthenticationMissing("Missing Authentication Token")


def _claim_of_header(authorization: bytes, headers: Headers, raw_query: bytes) -> SignatureClaim:
    parameters = _authorization_parameters(authorization)
    timestamp = _header_timestamp(headers)
    missing = [
        f"Authorization header requires '{name}' parameter." for name in _HEADER_PARAMETERS if not parameters.get(name)
    ]
    if timestamp is None:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing or timestamp is None:
        raise SignatureIncomplete(f"{' '.join(missing)} {_hashed(authorization)}")
    token = _single_header(headers, b"x-amz-security-token")
    credential, signature, signed_headers = (parameters[name] for name in _HEADER_PARAMETERS)
    return _claim(credential, signature, signed_headers, timestamp, None, token, raw_query)


def _claim_of_query(parameters: Mapping[str, str], signed_query: bytes) -> SignatureClaim:
    missing = [name for name in _REQUIRED_IN_QUERY if not parameters.get(name)]
    if missing:
        raise SignatureIncomplete(" ".join(f"AWS query-string parameters must include '{name}'." for name in missing))
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise SignatureIncomplete(f"Unsupported AWS 'algorithm': only {ALGORITHM} is known.")
    return _claim(
        parameters["X-Amz-Credential"],
        parameters["X-Amz-Signature"],
        parameters["X-Amz-SignedHeaders"],
        parameters["X-Amz-Date"],
        parameters.get("X-Amz-Expires"),
        parameters.get("X-Amz-Security-Token"),
        signed_query,
    )


def _claim(
    credential: str,
    signature: str,
    signed_headers: str,
    timestamp: str,
    expires: str | None,
    session_token: str | None,
    raw_query: bytes,
) -> SignatureClaim:
    access_key_id, scope = _read_credential(credential)
    return SignatureClaim(
        access_key_id=access_key_id,
        scope=scope,
        signed_headers=_read_signed_headers(signed_headers),
        signature=signature,
        timestamp=timestamp,
        signed_at=_read_timestamp(timestamp),
        valid_for=None if expires is None else _read_expires(expires),
        session_token=session_token,
        raw_query=raw_query,
    )


def _authorization_parameters(authorization: bytes) -> dict[str, str]:
    usual = _USUAL_FORM.fullmatch(authorization) if authorization.isascii() else None
    if usual is not None:
        credential, signed_headers, signature = usual.groups()
        return {
            "Credential": credential.decode(),
            "SignedHeaders": signed_headers.decode(),
            "Signature": signature.decode(),
        }
    algorithm, _, rest = _ascii(authorization, "Authorization").strip().partition(" ")
    parameters: dict[str, str] = {}
    # Parameters of another scheme are ignored, so that the error is about missing parameters, as at AWS.
    for parameter in rest.split(",") if algorithm == ALGORITHM else ():
        name, equals, value = parameter.strip().partition("=")
        if not equals:
            raise SignatureIncomplete(
                "A part of the Authorization header is not a valid key=value pair (missing equal-sign). "
                + _hashed(authorization)
            )
        if name in parameters:
            raise SignatureIncomplete(f"The Authorization header has a parameter twice. {_hashed(authorization)}")
        parameters[name] = value
    return parameters


def _query_parameters(raw_query: bytes) -> dict[str, str]:
    if b"X-Amz-" not in raw_query:
        return {}
    parameters: dict[str, str] = {}
    for raw_name, raw_value in query_pairs(raw_query):
        name = raw_name.decode("ascii", "replace")
        if name not in _ALLOWED_IN_QUERY:
            continue
        if name in parameters:
            raise SignatureIncomplete(f"The query has {name} twice")
        parameters[name] = _ascii(raw_value, name)
    return parameters


@lru_cache(_REMEMBERED)
def _read_credential(credential: str) -> tuple[str, CredentialScope]:
    access_key_id, *scope = credential.split("/")
    # Visible characters only, so that a refusal may quote the scope.
    if len(scope) != _CREDENTIAL_PARTS - 1 or not credential.isprintable() or " " in credential:
        raise SignatureIncomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
        )
    if not 0 < len(access_key_id) <= _MAX_ACCESS_KEY_ID:
        raise SignatureIncomplete(f"The access key id has 1 to {_MAX_ACCESS_KEY_ID} characters.")
    return access_key_id, CredentialScope(*scope)


@lru_cache(_REMEMBERED)
def _read_signed_headers(text: str) -> tuple[bytes, ...]:
    names = tuple(text.encode().split(b";"))
    if not _HEADER_NAMES.fullmatch(text) or len(set(names)) != len(names):
        raise SignatureIncomplete("SignedHeaders names headers in lower case, separated by semicolons, each once.")
    return names


def _header_timestamp(headers: Headers) -> str | None:
    amazon_date = _single_header(headers, b"x-amz-date")
    if amazon_date is not None:
        return amazon_date
    date = _single_header(headers, b"date")
    match = None if date is None else _HTTP_DATE.fullmatch(date)
    if match is None:
        return date
    try:
        return datetime.strptime(match[1], _HTTP_DATE_FORMAT).strftime(TIMESTAMP_FORMAT)  # noqa: DTZ007 - text says GMT
    except ValueError as error:
        raise SignatureIncomplete("The Date header is not a date.") from error


@lru_cache(_REMEMBERED)
def _read_timestamp(text: str) -> datetime:
    # The expression is checked first, because fromisoformat accepts more forms of a time than signatures may have.
    written = text if _TIMESTAMP.fullmatch(text) else ""
    try:
        return datetime.fromisoformat(written)
    except ValueError as error:
        raise SignatureIncomplete("Date must be in ISO-8601 'basic format', like 20150830T123600Z.") from error


def _read_expires(text: str) -> timedelta:
    if not _EXPIRES.fullmatch(text) or not 1 <= int(text) <= MAX_EXPIRES:
        raise SignatureIncomplete(f"X-Amz-Expires is a number of seconds from 1 to {MAX_EXPIRES}.")
    return timedelta(seconds=int(text))


def _single_header(headers: Headers, name: bytes) -> str | None:
    values = headers.get(name, ())
    if len(values) > 1:
        raise SignatureIncomplete(f"The header {name.decode()} appears more than once")
    return _ascii(values[0], name.decode()).strip() if values else None


def _ascii(text: bytes, name: str) -> str:
    try:
        return text.decode("ascii")
    except UnicodeDecodeError as error:
        raise SignatureIncomplete(f"{name} has characters beyond ASCII") from error


def _hashed(authorization: bytes) -> str:
    # A hash as at AWS, because the header may contain another scheme's password, and errors are logged.
    digest = base64.b64encode(hashlib.sha256(authorization).digest()).decode()
    return f"(Hashed with SHA-256 and encoded with Base64) Authorization={digest}"
