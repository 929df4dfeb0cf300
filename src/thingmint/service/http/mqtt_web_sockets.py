"""Owns the opening handshake of MQTT over WebSockets: whose access key has signed it, and what the answer is.

After the answer the connection is the device gateway's. Clients of AWS IoT request ``GET /mqtt`` with the subprotocol
``mqtt``, and sign the query (developer guide, "Device communication protocols"). Independent of frames.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from thingmint.api.wire.planes import Plane
from thingmint.api.wire.request_conditions import lasting_conditions
from thingmint.core.errors import InvalidRequest, OperationUnknown
from thingmint.core.identifiers import Region, user_arn
from thingmint.mqtt.edges.access_key_devices import access_key_target
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.rights.ports import HandshakeSigner
from thingmint.mqtt.web_sockets.frames import SILENT
from thingmint.rest.answering import Answering, Record
from thingmint.rest.answers import Answer
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.identity import SigV4Authenticator
from thingmint.rest.sigv4.signature import HttpRequest

PREFIX: Final = b"/mqtt"
OPERATION: Final = "OpenWebSocket"
"""The name of handshakes in metrics and log lines."""
# SDKs sign for `iotdevicegateway`, and the first one for JavaScript for `iotdata`.
_SIGNED_FOR: Final = Plane.DATA.signed_for
_SUBPROTOCOL: Final = Subprotocol("mqtt")
_SWITCHING: Final = 101


class MQTTOverWebSockets:
    """The ASGI application of the path at which clients open WebSockets."""

    def __init__(
        self,
        answering: Answering,
        authenticator: SigV4Authenticator,
        gateway: Callable[[], Gateway],
        region: Region,
    ) -> None:
        self._answering = answering
        self._authenticator = authenticator
        self._gateway = gateway
        self._region = region

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Open a WebSocket, or answer with an error."""
        await self._answering.answer(scope, send, partial(self._serve, scope))

    async def _serve(self, scope: HTTPScope, record: Record) -> Answer | None:
        headers = list(scope["headers"])
        extensions = scope.get("extensions", {})
        switch = extensions.get("switch_protocols")
        if scope["method"] != "GET" or scope["raw_path"] != PREFIX or switch is None:
            raise OperationUnknown("No operation answers to this method and path")
        record.operation, record.plane = OPERATION, Plane.DATA
        request = HttpRequest("GET", scope["raw_path"], scope["query_string"], headers, b"")
        key = await self._authenticator.authenticate_web_socket(request, _SIGNED_FOR)
        target = access_key_target(key, self._region)
        record.principal = user_arn(target.scope, key.user_name)
        fields = _accepted(headers)
        signer = HandshakeSigner(target, _host_name(headers), lasting_conditions(scope["scheme"], headers))
        opened = self._gateway().open_web_socket(signer, _sockets(scope), partial(switch, fields))
        if not opened:
            raise InvalidRequest("A client sends nothing more before the answer to its opening handshake")
        return None


def _accepted(headers: Sequence[tuple[bytes, bytes]]) -> Sequence[bytes]:
    """Return the header fields of the answer to a handshake; raise InvalidRequest if RFC 6455 or MQTT forbids it."""
    received = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
    protocol = ServerProtocol(subprotocols=[_SUBPROTOCOL], logger=SILENT)
    response = protocol.accept(Request(PREFIX.decode(), received))
    if response.status_code != _SWITCHING:
        raise InvalidRequest(f"This is not the opening handshake of a WebSocket for MQTT: {protocol.handshake_exc}")
    return [f"{name}: {value}\r\n".encode("latin-1") for name, value in response.headers.raw_items() if name != "Date"]


def _host_name(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the host name that the client has signed, without a port and the brackets of an IPv6 address."""
    host = next((value.decode("latin-1") for name, value in headers if name == b"host"), "")
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _sockets(scope: HTTPScope) -> tuple[tuple[str, int], tuple[str, int]]:
    client, server = scope["client"], scope["server"]
    assert client is not None, "the server listens on TCP only"
    return client, ("", 0) if server is None or server[1] is None else (server[0], server[1])
