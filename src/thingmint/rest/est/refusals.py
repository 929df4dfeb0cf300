"""Owns the form of EST's errors: HTTP statuses and a line of text (RFC 7030, 4.2.3)."""

from typing import Final

from thingmint.api.wire.errors import ErrorAnswer
from thingmint.rest.answers import Answer

_TEXT: Final = b"text/plain; charset=utf-8"
_CHALLENGE: Final = (b"www-authenticate", b'Basic realm="Thingmint EST", charset="UTF-8"')
# HTTP statuses for AWS's error names, if AWS's own status would have another meaning for an EST client.
_STATUSES: Final = {
    "MissingAuthenticationTokenException": 401,
    "UnrecognizedClientException": 401,
    "ExpiredTokenException": 401,
    "AccessDeniedException": 403,
    "UnauthorizedException": 403,
    "ThrottlingException": 429,
    "UnknownOperationException": 404,
    "CertificateStateException": 403,
    "LimitExceededException": 403,
}
# RFC 9110, 15.6.4: for a request that failed because the database, the issuer's key or a key pair was not available.
_RETRY_SECONDS: Final = 5
_AS_THEY_ARE: Final = frozenset({400, 404, 408, 409, 413})


def est_error(error: ErrorAnswer, request_id: str) -> Answer:
    """Return the answer as text; a client error whose AWS status is not in use by EST gets status 400."""
    del request_id
    return error_in_text(error)


def error_in_text(error: ErrorAnswer) -> Answer:
    """Return the answer without the request's id in its text; the id is in the header only."""
    status = _STATUSES.get(error.name, error.status)
    if status < 500 and status not in _STATUSES.values() and status not in _AS_THEY_ARE:
        status = 400
    headers = []
    if status == 401:
        headers.append(_CHALLENGE)
    if status in (429, 503):
        headers.append((b"retry-after", b"%d" % (error.retry_after or _RETRY_SECONDS)))
    text = "".join(each if each.isprintable() else "?" for each in error.message)
    return Answer(status, f"{text}\n".encode(), _TEXT, tuple(headers))
