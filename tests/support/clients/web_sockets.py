"""Owns presigned addresses of MQTT over WebSockets, signed by botocore as AWS's SDKs sign them, and raw handshakes."""

import base64
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from unittest import mock
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.support.clients.aws import AccessKey, Live

PATH: Final = "/mqtt"
SERVICE: Final = "iotdevicegateway"
_SECONDS: Final = 60.0
_FIELDS: Final = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "mqtt",
}


def presigned_target(
    live: Live,
    key: AccessKey,
    *,
    service: str = SERVICE,
    region: str = "us-east-1",
    expires: int = 60,
    at: datetime | None = None,
) -> str:
    """Return path and query; the session token, if there is one, is appended after signing."""
    host = host_of(live)
    request = AWSRequest(method="GET", url=f"https://{host}{PATH}", headers={"Host": host})
    unnamed = Credentials(key.access_key_id, key.secret_access_key)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at or datetime.now(UTC)):
        SigV4QueryAuth(unnamed, service, region, expires=expires).add_auth(request)
    parts = urlsplit(request.url)
    token = "" if key.session_token is None else f"&X-Amz-Security-Token={quote(key.session_token, safe='')}"
    return f"{parts.path}?{parts.query}{token}"


def signed_fields(live: Live, key: AccessKey) -> Mapping[str, str]:
    """Return the header fields that sign a handshake without a query."""
    host = host_of(live)
    request = AWSRequest(method="GET", url=f"https://{host}{PATH}", headers={"Host": host})
    SigV4Auth(key.credentials, SERVICE, "us-east-1").add_auth(request)
    return dict(request.headers.items())


def host_of(live: Live) -> str:
    """Return the host and port that clients name."""
    return f"localhost:{live.service.endpoints.api_port}"


@dataclass(frozen=True)
class Answered:
    """The answer to an opening handshake."""

    status: int
    fields: Mapping[str, str]
    body: bytes


def opened(
    live: Live, target: str, fields: Mapping[str, str | None] | None = None, *, behind: bytes = b""
) -> tuple[ssl.SSLSocket, Answered]:
    """Send an opening handshake, with some fields changed or left out, and return the socket and the answer."""
    context = ssl.create_default_context(cafile=str(live.ca_file))
    plain = socket.create_connection(("localhost", live.service.endpoints.api_port), _SECONDS)
    connection = context.wrap_socket(plain, server_hostname="localhost")
    sent = {"Host": host_of(live), **_FIELDS, **(fields or {})}
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value is not None)]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + behind)
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        assert part, received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    named = dict(map(_field, rest))
    length = int(named.get("content-length", "0"))
    while len(body) < length:
        body += connection.recv(65_536)
    return connection, Answered(int(first.split(" ")[1]), named, body)


def handshake(
    live: Live, target: str, fields: Mapping[str, str | None] | None = None, *, behind: bytes = b""
) -> Answered:
    """Return the answer to an opening handshake, and close the connection."""
    connection, answered = opened(live, target, fields, behind=behind)
    connection.close()
    return answered


def is_refused_before_opening(live: Live, key: AccessKey) -> bool:
    """Return whether the answer to a handshake that is signed with the key is 403, not 101."""
    status = handshake(live, presigned_target(live, key)).status
    assert status in (101, 403)
    return status == 403


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value
