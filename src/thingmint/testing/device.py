"""Owns a device in a test: its certificate and key, and its MQTT connection, made with paho-mqtt."""

import json
import queue
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

# A test that waits longer fails; no operation normally takes a second.
TIMEOUT_SECONDS = 30.0


class DeviceRefused(Exception):
    """The service refused the connection or a request; the message has the reason, if the service sent one."""


class Disconnected(Exception):
    """The service ended the device's connection."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a device received."""

    topic: str
    payload: bytes

    @property
    def value(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)


@dataclass(frozen=True, slots=True)
class Address:
    """The address that devices connect to, and the file with the CA certificates of the service."""

    host: str
    port: int
    ca_file: str


@dataclass
class Device:
    """A device: its certificate, key and thing, and its connection. Your own program can use the files."""

    address: Address
    client_id: str
    certificate_pem: str = field(repr=False)
    private_key_pem: str = field(repr=False)
    certificate_file: Path = field(repr=False)
    private_key_file: Path = field(repr=False)
    thing_name: str | None = None
    certificate_id: str | None = None
    certificate_arn: str | None = None

    def __post_init__(self) -> None:
        """Begin without a connection."""
        self._client: Client | None = None
        self._connected = threading.Event()
        self._ended = threading.Event()
        self._reason = ""
        self._acknowledged: queue.Queue[tuple[int, list[Any]]] = queue.Queue()
        self._received: queue.Queue[Message] = queue.Queue()

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self._client is not None and self._client.is_connected() and not self._ended.is_set()

    def connect(self, client_id: str | None = None) -> "Device":
        """Connect, and return the device itself; raise DeviceRefused if the service refuses the connection."""
        self.close()
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or self.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        context = ssl.create_default_context(cafile=self.address.ca_file)
        context.load_cert_chain(self.certificate_file, self.private_key_file)
        client.tls_set_context(context)
        self._attach(client)
        try:
            client.connect(self.address.host, self.address.port)
        except (OSError, ssl.SSLError) as error:
            raise DeviceRefused(f"no connection to {self.address.host}:{self.address.port}") from error
        self._client = client
        client.loop_start()
        if not self._connected.wait(TIMEOUT_SECONDS) or self._ended.is_set():
            reason = self._reason or "the service closed the connection"
            self.close()
            raise DeviceRefused(reason)
        return self

    def publish(self, topic: str, payload: object = b"", qos: int = 1) -> None:
        """Publish bytes, text or another value as JSON; at QoS 1, wait for the acknowledgement.

        Raises Disconnected if the service ends the connection, DeviceRefused if it acknowledges with a failure.
        """
        data = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
        sent = self._open().publish(topic, data, qos)
        self._require_accepted(sent.rc)
        if qos:
            self._await(sent.mid)

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribe; raise DeviceRefused if the service refuses it, Disconnected if it ends the connection."""
        code, number = self._open().subscribe(topic_filter, qos)
        self._require_accepted(code)
        assert number is not None
        self._await(number)

    def receive(self, timeout: float = TIMEOUT_SECONDS) -> Message:
        """Return the next message; raise TimeoutError if none arrives within ``timeout`` seconds."""
        try:
            return self._received.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"{self.client_id} received no message in {timeout:g} seconds") from None

    def wait_until_disconnected(self, timeout: float = TIMEOUT_SECONDS) -> str:
        """Return the reason that the service sent for the disconnection; raise TimeoutError if the connection stays."""
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.client_id} is still connected after {timeout:g} seconds")
        return self._reason

    def close(self) -> None:
        """Disconnect, if connected."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()
        self._connected.clear()
        self._ended.clear()
        self._reason = ""
        # The packet identifiers of the next connection start at one again.
        self._acknowledged = queue.Queue()

    def _open(self) -> Client:
        if self._client is None:
            raise Disconnected(f"{self.client_id} is not connected: call connect() first")
        return self._client

    def _require_accepted(self, code: MQTTErrorCode) -> None:
        if code is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise Disconnected(self._reason or f"{self.client_id} is not connected any more")

    def _await(self, number: int) -> None:
        """Wait for the acknowledgement with this number."""
        waited = 0.0
        while waited < TIMEOUT_SECONDS:
            try:
                found, codes = self._acknowledged.get(timeout=0.1)
            except queue.Empty:
                waited += 0.1
                if self._ended.is_set():
                    raise Disconnected(self._reason) from None
                continue
            if found == number:
                if any(each.is_failure for each in codes):
                    raise DeviceRefused(str(codes[0]))
                return
        raise TimeoutError(f"{self.client_id} got no acknowledgement")

    def _attach(self, client: Client) -> None:
        def on_connect(_client: Client, _data: object, _flags: object, code: Any, _properties: object) -> None:
            if code.is_failure:
                self._reason = str(code)
                self._ended.set()
            self._connected.set()

        def on_disconnect(_client: Client, _data: object, _flags: object, code: Any, _properties: object) -> None:
            self._reason = self._reason or str(code)
            self._ended.set()
            self._connected.set()

        def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
            self._received.put(Message(message.topic, bytes(message.payload)))

        def on_acknowledged(_client: Client, _data: object, number: int, codes: Any, _properties: object) -> None:
            self._acknowledged.put((number, codes if isinstance(codes, list) else [codes]))

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_message = on_message
        client.on_publish = on_acknowledged
        client.on_subscribe = on_acknowledged
