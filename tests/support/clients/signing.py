"""Owns requests signed by botocore, which judges signatures in tests, and a clock that tests set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from msgspec import structs

from thingmint.rest.sigv4.signature import Credentials, HttpRequest

HOST = "localhost:8443"
REGION = "us-east-1"
SERVICE = "iot"
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
KEY = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TEMPORARY_KEY = replace(KEY, access_key_id="ASIDEXAMPLE", session_token="AQoDYXdzEPT//////////wEXAMPLE+token==")


@dataclass
class SettableClock:
    """A `ports.Clock` that stands still until a test sets it."""

    at: datetime = AT

    def now(self) -> datetime:
        """Return the time."""
        return self.at


def unsigned(
    method: str = "GET",
    raw_path: bytes = b"/certificates",
    raw_query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"",
) -> HttpRequest:
    """Return a request without a host and without a signature."""
    return HttpRequest(method, raw_path, raw_query, list(headers), body)


def by_botocore(
    request: HttpRequest,
    credentials: Credentials = KEY,
    *,
    at: datetime = AT,
    region: str = REGION,
    service: str = SERVICE,
    expires: int | None = None,
) -> HttpRequest:
    """Return the request as botocore sends it, signed in the header, or in the query where it expires."""
    query = b"?" + request.raw_query if request.raw_query else b""
    aws_request = AWSRequest(
        method=request.method,
        url=f"https://{HOST}{request.raw_path.decode()}{query.decode()}",
        headers={name.decode(): value.decode() for name, value in request.headers},
        data=request.body,
    )
    keys = BotocoreCredentials(credentials.access_key_id, credentials.secret, credentials.session_token)
    signer = SigV4Auth(keys, service, region)
    if expires is not None:
        signer = SigV4QueryAuth(keys, service, region, expires)
    # What add_auth does, at the time of the test instead of the present.
    aws_request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(aws_request)
    string_to_sign = signer.string_to_sign(aws_request, signer.canonical_request(aws_request))
    signer._inject_signature_to_request(aws_request, signer.signature(string_to_sign, aws_request))
    headers = [(name.lower().encode(), value.encode()) for name, value in aws_request.headers.items()]
    raw_query = urlsplit(aws_request.url).query.encode()
    return structs.replace(request, raw_query=raw_query, headers=[(b"host", HOST.encode()), *headers])


def with_header(request: HttpRequest, name: bytes, value: bytes | None) -> HttpRequest:
    """Return the request with a header replaced, added, or left out where the value is None."""
    kept = [(each, text) for each, text in request.headers if each != name]
    return structs.replace(request, headers=kept if value is None else [*kept, (name, value)])


def header(request: HttpRequest, name: bytes) -> bytes:
    """Return the value of the only header with this name."""
    (value,) = [text for each, text in request.headers if each == name]
    return value
