"""Owns the requests of the benchmarks: who is asked, what is sent and how it is signed; opens no socket."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

SIGNED_HEADERS = "host;x-amz-date"  # what boto3 signs


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key and the region that its signatures name."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server under load; TLS where a trust anchor is named, SigV4 where credentials are."""

    host: str
    port: int
    ca_file: str | None = None
    credentials: Credentials | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; the query is canonical already (sorted and encoded)."""

    method: str
    path: str
    query: str = ""
    body: str = ""


def query_of(parameters: Mapping[str, str]) -> str:
    """Return the parameters as SigV4's canonical query string."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(parameters.items()))


def endpoint_as_json(endpoint: Endpoint) -> str:
    """Return the endpoint in a form that `endpoint_from_json` reads in another process."""
    return json.dumps(asdict(endpoint))


def endpoint_from_json(text: str) -> Endpoint:
    """Return the endpoint that `endpoint_as_json` wrote."""
    members: dict[str, Any] = json.loads(text)
    if members["credentials"] is not None:
        members["credentials"] = Credentials(**members["credentials"])
    members["headers"] = tuple((name, value) for name, value in members["headers"])
    return Endpoint(**members)


class Signer:
    """Writes signed requests for one endpoint; what does not depend on the time of sending is computed once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._day = ""
        self._key = b""
        self._scope = ""

    def prepare(self, request: Request) -> "PreparedRequest":
        """Return the request with everything in place but its date and its signature."""
        endpoint = self._endpoint
        url = f"{request.path}?{request.query}" if request.query else request.path
        body = request.body.encode()
        lines = [f"{request.method} {url} HTTP/1.1", f"Host: {endpoint.authority}", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in endpoint.headers]
        return PreparedRequest(
            head="\r\n".join(lines) + "\r\n",
            body=body,
            canonical_start=f"{request.method}\n{request.path}\n{request.query}\nhost:{endpoint.authority}\nx-amz-date:",
            canonical_end=f"\n\n{SIGNED_HEADERS}\n{hashlib.sha256(body).hexdigest()}",
        )

    def encode(self, prepared: "PreparedRequest") -> bytes:
        """Return the bytes to send now, signed to the second if the endpoint has credentials."""
        credentials = self._endpoint.credentials
        if credentials is None:
            return f"{prepared.head}\r\n".encode() + prepared.body
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self._use_day(stamp[:8], credentials)
        canonical = f"{prepared.canonical_start}{stamp}{prepared.canonical_end}".encode()
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{self._scope}\n{hashlib.sha256(canonical).hexdigest()}"
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        return (
            f"{prepared.head}X-Amz-Date: {stamp}\r\nAuthorization: AWS4-HMAC-SHA256 "
            f"Credential={credentials.access_key_id}/{self._scope}, SignedHeaders={SIGNED_HEADERS}, "
            f"Signature={signature}\r\n\r\n"
        ).encode() + prepared.body

    def _use_day(self, day: str, credentials: Credentials) -> None:
        if day == self._day:
            return
        key = f"AWS4{credentials.secret_access_key}".encode()
        for part in (day, credentials.region, "iot", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._day, self._key, self._scope = day, key, f"{day}/{credentials.region}/iot/aws4_request"


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request that lacks its date and signature only."""

    head: str
    body: bytes
    canonical_start: str
    canonical_end: str
