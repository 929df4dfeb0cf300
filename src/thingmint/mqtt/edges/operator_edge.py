"""Owns operators' HTTPS calls to their account's devices: implements the API's ports with gateway and data plane.

Operators may not use topics that start with ``$`` either: a message on an answer's topic would be a forged answer.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NoReturn

from msgspec.structs import replace

from thingmint.api.devices.data_plane import DeviceMessage, EndedConnection, OpenConnection, RetainedMessage
from thingmint.core.clock import Clock
from thingmint.core.error_text import in_words
from thingmint.core.errors import (
    AccessDenied,
    DeliveryUnconfirmed,
    InvalidRequest,
    ServiceUnavailable,
    ThingmintError,
    Throttled,
)
from thingmint.core.identifiers import Scope
from thingmint.core.topics.names import InvalidTopic, check_topic, is_reserved
from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.data_plane import DataPlane, Delivery, NotReadable, Retained
from thingmint.mqtt.edges.other_nodes import NoOtherNodes, OtherNodes
from thingmint.mqtt.gateway.connection import GatewayConnection
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.gateway.last_endings import Ending
from thingmint.mqtt.gateway.link.device_protocol import MAX_PACKET_BYTES
from thingmint.mqtt.message_texts import check_texts

# For all accounts together: each wait for an acknowledgement occupies a request of the API.
MOST_CONFIRMATIONS = 128

_INVALID = {
    ReasonCode.TOPIC_NAME_INVALID: "The topic is reserved or not valid",
    ReasonCode.PACKET_TOO_LARGE: "The message is larger than the broker takes",
    ReasonCode.QOS_NOT_SUPPORTED: "The broker does not take messages of this QoS",
    ReasonCode.RETAIN_NOT_SUPPORTED: "The broker does not retain messages",
    ReasonCode.PAYLOAD_FORMAT_INVALID: "The payload does not have the format that is said",
}


# Small corrections of the wall clock are normal; only a larger jump means that it was set.
_CLOCK_WAS_SET: Final = timedelta(seconds=1)


class StoringTimes:
    """Converts the data plane's storing times to wall-clock times, with the same result at every call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zero: datetime | None = None

    def of(self, retained: Retained) -> datetime | None:
        """Return when the message was stored; None if not known. If the wall clock was set, all results change."""
        if retained.age is None:
            return None
        zero = self._clock.now() - timedelta(seconds=retained.age + retained.stored_at)
        # Two clocks cannot be read at the same moment. Without this, a time would differ slightly at every call.
        if self._zero is None or abs(zero - self._zero) > _CLOCK_WAS_SET:
            self._zero = zero
        return self._zero + timedelta(seconds=retained.stored_at)


class OperatorEdges:
    """Implements `api.devices.data_plane.OperatorDataPlane`. Each call gets the gateway anew, as it may be replaced."""

    def __init__(
        self,
        gateway: Callable[[], Gateway],
        data_plane: DataPlane,
        clock: Clock,
        others: OtherNodes | None = None,
    ) -> None:
        self._gateway = gateway
        self._data_plane = data_plane
        self._others = others or NoOtherNodes()
        self._times = StoringTimes(clock)
        self._confirmations = asyncio.Semaphore(MOST_CONFIRMATIONS)

    def edge_of(self, scope: Scope) -> "OperatorEdge":
        """Return the edge to the account's devices; raise InvalidRequest if this service does not serve them."""
        if not self._data_plane.serves(scope):
            raise InvalidRequest(
                f"The broker behind this service serves another account than {scope.account}, which has no devices here"
            )
        return OperatorEdge(scope, self._gateway, self._data_plane, self._times, self._confirmations, self._others)


class OperatorEdge:
    """Implements `api.devices.data_plane.AccountDevices` for one account."""

    def __init__(
        self,
        scope: Scope,
        gateway: Callable[[], Gateway],
        data_plane: DataPlane,
        times: StoringTimes,
        confirmations: asyncio.Semaphore,
        others: OtherNodes,
    ) -> None:
        self._scope = scope
        self._gateway = gateway
        self._data_plane = data_plane
        self._times = times
        self._confirmations = confirmations
        self._others = others

    async def publish(self, message: DeviceMessage) -> None:
        """Publish a message; raise InvalidRequest, Throttled, AccessDenied or ServiceUnavailable.

        If a message does not reach the other nodes, it is refused although devices of this node have it, so that the
        caller sends it again.
        """
        packet = _packet(message)
        try:
            code = await self._data_plane.publish_own(self._scope, packet)
        except PacketRefused as refused:
            raise _refusal(refused.reason_code) from refused
        if code.is_failure:
            raise _refusal(code)
        await self._others.publish(self._scope, packet)

    async def retained(self, topic: str) -> RetainedMessage | None:
        """Return the topic's retained message; raise Throttled, AccessDenied or ServiceUnavailable."""
        try:
            found = await self._data_plane.retained(self._scope, topic)
        except PacketRefused as refused:
            raise _refusal(refused.reason_code) from refused
        return None if found is None else self._shown(found)

    def retained_after(self, topic: str, count: int) -> Sequence[RetainedMessage]:
        """Return up to ``count`` retained messages whose topics sort after ``topic``; raise InvalidRequest, too."""
        try:
            found = self._data_plane.retained_after(self._scope, topic, count)
        except NotReadable:
            _cannot_be_read()
        return tuple(self._shown(each) for each in found)

    async def forget(self) -> None:
        """Remove the account's messages and sessions from this process; an existing broker keeps what it has."""
        kept = self._data_plane.kept_here
        if kept is not None:
            await kept.forget(self._scope)

    async def disconnect(self, client_id: str, *, clean_session: bool, prevent_will: bool) -> bool:
        """End a client's connection; return whether it was connected."""
        was_here = self._gateway().delete_connection(
            self._scope, client_id, clean_session=clean_session, prevent_will_message=prevent_will
        )
        if was_here:
            return True
        return await self._others.disconnect(
            self._scope, client_id, clean_session=clean_session, prevent_will=prevent_will
        )

    async def connection(self, client_id: str) -> OpenConnection | None:
        """Return a client's connection, or None."""
        found = self._gateway().connection_of(self._scope, client_id)
        return await self._others.connection(self._scope, client_id) if found is None else open_connection(found)

    async def last_connection(self, client_id: str) -> EndedConnection | None:
        """Return how a client's last connection ended; None while it is connected, or if it is not recorded."""
        if self._gateway().connection_of(self._scope, client_id) is not None:
            return None
        ending, ended = self._gateway().last_ending_of(self._scope, client_id), list[EndedConnection]()
        if ending is not None:
            ended.append(ended_connection(client_id, ending))
        elsewhere = await self._others.last_connection(self._scope, client_id)
        if elsewhere is not None:
            ended.append(elsewhere)
        return max(ended, key=lambda each: each.ended_at, default=None)

    async def send(self, client_id: str, message: DeviceMessage, confirmed_within: float | None) -> None:
        """Send a message to one client, subscribed or not; with ``confirmed_within``, wait for its acknowledgement."""
        packet = _packet(message)
        found = self._gateway().connection_of(self._scope, client_id)
        if found is None:
            await self._others.send(self._scope, client_id, packet, confirmed_within)
            return
        await send_here(found, packet, confirmed_within, self._confirmations)

    def _shown(self, retained: Retained) -> RetainedMessage:
        message = retained.message
        return RetainedMessage(
            message.topic,
            message.payload,
            message.qos,
            self._times.of(retained),
            message.properties.user_properties,
        )


async def send_here(
    found: GatewayConnection, packet: Publish, confirmed_within: float | None, confirmations: asyncio.Semaphore
) -> None:
    """Send a message to a client of this node; raises the same errors as `OperatorEdge.send`."""
    if not found.device.may_receive(packet.topic):
        raise AccessDenied("The policies of the receiving device do not allow iot:Receive on the topic")
    if confirmed_within is None:
        _require_written(found.device.sent(packet, None), may_be_dropped=True)
        return
    if confirmations.locked():
        raise Throttled("Too many acknowledgements are waited for")
    async with confirmations:
        confirmed = asyncio.get_running_loop().create_future()
        _require_written(found.device.sent(packet, confirmed), may_be_dropped=False)
        await _acknowledgement(confirmed, confirmed_within)


def open_connection(found: GatewayConnection) -> OpenConnection:
    """Return a connection of this node in the API's form."""
    source, target = found.sockets
    return OpenConnection(
        client_id=found.client_id,
        connected_at=found.opened_at,
        keep_alive=found.protocol.keep_alive,
        is_clean=found.is_clean,
        session_expiry=found.session_expiry,
        source=source,
        target=target,
    )


def ended_connection(client_id: str, ending: Ending) -> EndedConnection:
    """Return how a connection ended, in the API's form."""
    return EndedConnection(
        client_id=client_id,
        ended_at=ending.at,
        reason=str(ending.reason),
        keep_alive=ending.keep_alive,
        is_clean=ending.is_clean,
        session_expiry=ending.session_expiry,
    )


async def _acknowledgement(confirmed: "asyncio.Future[None]", within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await confirmed
    except TimeoutError:
        raise DeliveryUnconfirmed("The device did not acknowledge the message in time") from None


def _cannot_be_read() -> NoReturn:
    raise InvalidRequest("Retained messages are kept by the broker behind this service, which has no list of them")


def _packet(message: DeviceMessage) -> Publish:
    """Return the message as an MQTT packet; raise InvalidRequest if MQTT or AWS IoT does not allow it."""
    _check_topic(message.topic, "The topic")
    if message.response_topic is not None:
        _check_topic(message.response_topic, "The response topic", may_be_reserved=True)
    packet = Publish(
        message.topic,
        message.payload,
        QoS(message.qos),
        message.retain,
        properties=PublishProperties(
            payload_format_indicator=message.is_text,
            message_expiry_interval=message.expires_after,
            response_topic=message.response_topic,
            correlation_data=message.correlation_data,
            user_properties=message.user_properties,
            content_type=message.content_type,
        ),
    )
    _require_encodable(packet)
    return packet


def _check_topic(topic: str, what: str, *, may_be_reserved: bool = False) -> None:
    try:
        check_topic(topic)
    except InvalidTopic as error:
        raise InvalidRequest(f"{what} is not valid: {in_words(error)}") from error
    if is_reserved(topic) and not may_be_reserved:
        raise InvalidRequest("Topics that start with $ are reserved")


def _require_encodable(packet: Publish) -> None:
    # Reserve the length of the packet identifier, whose value is not known yet.
    try:
        check_texts(packet.properties)
        size = len(encode(replace(packet, packet_id=1 if packet.qos else 0), ProtocolVersion.MQTT_5))
    except PacketRefused as refused:
        raise InvalidRequest(f"The message's properties cannot be sent: {refused.message}") from refused
    except ValueError as error:
        raise InvalidRequest(f"The message's properties cannot be sent: {in_words(error)}") from error
    if size > MAX_PACKET_BYTES:
        raise InvalidRequest(f"The message with its properties is longer than {MAX_PACKET_BYTES} bytes")


def _refusal(code: ReasonCode) -> ThingmintError:
    if code in _INVALID:
        return InvalidRequest(_INVALID[code])
    if code is ReasonCode.NOT_AUTHORIZED:
        return AccessDenied("The broker does not allow the service to use the topic")
    if code is ReasonCode.QUOTA_EXCEEDED:
        return Throttled("There is no room for the message now")
    return ServiceUnavailable("The broker is not available")


def _require_written(outcome: Delivery, *, may_be_dropped: bool) -> None:
    if outcome is Delivery.TOO_LARGE:
        raise InvalidRequest("The message is larger than the device takes")
    if outcome is Delivery.FULL and not may_be_dropped:
        raise Throttled("The device takes no more messages now")
