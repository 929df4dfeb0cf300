"""Owns signed HTTPS calls to a running service: its endpoint and the credentials. Independent of operations."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from thingmint.core.error_text import in_words, reason_of
from thingmint.rest.sigv4.signature import Credentials as SigningCredentials
from thingmint.rest.sigv4.signature import HttpRequest, sign

_TIMEOUT_SECONDS = 60.0


# The caller is unknown or no longer valid, so every other request would fail, too.
_ABOUT_CALLERS = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
_NOT_FOUND = "ResourceNotFoundException"
_THROTTLED = frozenset({"ThrottlingException", "TooManyRequestsException"})


class ServiceUnreachable(Exception):
    """No answer arrived, so it is not known whether the call had an effect."""


class ServiceNotVerified(ServiceUnreachable):
    """The service's certificate was not accepted, so nothing was sent; another attempt would end the same way."""


class ServiceRefused(Exception):
    """The service answered with an error; ``name`` is AWS's name of the error."""

    def __init__(self, status: int, name: str, message: str, retry_after: float) -> None:
        super().__init__(f"{name}: {message}")
        self.status = status
        self.name = name
        self.retry_after = retry_after

    @property
    def is_about_caller(self) -> bool:
        """Whether every request of this caller would be refused."""
        return self.name in _ABOUT_CALLERS

    @property
    def is_not_found(self) -> bool:
        """Whether the resource of the request does not exist."""
        return self.name == _NOT_FOUND

    @property
    def is_throttled(self) -> bool:
        """Whether the same request may succeed after ``retry_after`` seconds."""
        return self.name in _THROTTLED


@dataclass(frozen=True, slots=True)
class Connection:
    """The endpoint of the service and the caller's credentials."""

    endpoint: str
    ca_file: str | None
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    is_of_variables: bool = field(default=False, compare=False)
    """Whether the endpoint is from AWS's environment variables, and not from the data directory."""
    variable: str = field(default="", compare=False)
    """The name of the environment variable with the endpoint, if it is from one."""


class _TLSConnection(http.client.HTTPSConnection):
    """An HTTPS connection whose socket another thread can shut down, even during the handshake."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=_TIMEOUT_SECONDS, context=context)
        self._tls = context

    def connect(self) -> None:
        """Connect; store the socket before the handshake, so that `close` can shut it down."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock.do_handshake()


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise LookupError(f"the CA file {ca_file} cannot be used: {reason_of(error)}") from error


class SignedClient:
    """Calls the service over persistent HTTPS connections, one for each calling thread."""

    def __init__(self, connection: Connection, service: str = "iot") -> None:
        """Take the endpoint and the service that calls are signed for.

        Raises LookupError if the endpoint is not a URL, or the CA file cannot be used.
        """
        parts = urllib.parse.urlsplit(connection.endpoint)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise LookupError(f"the endpoint must be an http or https URL, not {connection.endpoint!r}")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._netloc = parts.netloc
        self._context = _context(connection.ca_file) if parts.scheme == "https" else None
        self._region = connection.region
        self._service = service
        self._credentials = SigningCredentials(
            connection.access_key_id, connection.secret_access_key, connection.session_token
        )
        self._local = threading.local()
        self._opened: list[http.client.HTTPConnection] = []
        self._closed = False

    def close(self) -> None:
        """Close the connections of all threads; a running call in another thread ends without an answer."""
        self._closed = True
        while self._opened:
            connection = self._opened.pop()
            if connection.sock is not None:
                # A thread that waits until the socket is readable is woken by a shutdown, but not by a close.
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """Return the decoded answer; raise ServiceRefused for an error answer, ServiceUnreachable if none arrived."""
        content = b"" if body is None else json.dumps(body).encode()
        raw_query = urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
        extra = [(name.encode(), value.encode()) for name, value in (extra_headers or {}).items()]
        headers = [(b"host", self._netloc.encode()), *extra]
        request = HttpRequest(method, path.encode(), raw_query.encode(), headers, content)
        signed = sign(request, self._credentials, self._region, datetime.now(UTC), service=self._service)
        target = f"{path}?{raw_query}" if raw_query else path
        wire_headers = {name.decode(): value.decode() for name, value in (*headers, *signed)}
        status, answer_headers, answer = self._exchange(method, target, wire_headers, content)
        return self._decoded(status, answer_headers, answer)

    def _exchange(
        self, method: str, target: str, headers: dict[str, str], content: bytes
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self._connection()
        try:
            connection.request(method, target, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except ssl.SSLCertVerificationError as error:
            self._forget(connection)
            raise ServiceNotVerified(
                f"{self._netloc}: the service's certificate is not accepted: {error.verify_message.rstrip('.')}. "
                "AWS_CA_BUNDLE must name ca.pem of the service's data directory, and the host must be a server_name"
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            # ValueError: `close` has closed the socket during a call of another thread.
            self._forget(connection)
            raise ServiceUnreachable(f"{self._netloc}: {in_words(error)}") from error

    def _forget(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._local.connection = None
        with contextlib.suppress(ValueError):
            self._opened.remove(connection)

    def _connection(self) -> http.client.HTTPConnection:
        if self._closed:
            raise ServiceUnreachable("the client is closed")
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            if self._context is not None:
                connection = _TLSConnection(self._host, self._port, self._context)
            else:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
            self._local.connection = connection
            self._opened.append(connection)
        return connection

    @staticmethod
    def _decoded(status: int, headers: http.client.HTTPMessage, answer: bytes) -> dict[str, object]:
        try:
            decoded = json.loads(answer or b"{}")
        except ValueError as error:
            raise ServiceUnreachable(f"the answer (status {status}) is not JSON") from error
        if not isinstance(decoded, dict):
            raise ServiceUnreachable(f"the answer (status {status}) is not a JSON object")
        if status == http.HTTPStatus.OK:
            return decoded
        name = headers.get("x-amzn-ErrorType", "UnknownError")
        try:
            retry_after = float(headers.get("Retry-After", "1"))
        except ValueError:
            retry_after = 1.0
        raise ServiceRefused(status, name, str(decoded.get("message", "")), retry_after)
