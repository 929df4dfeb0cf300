"""Owns the interface of a connection for the data plane, the provisioning queue and requests."""

import asyncio
from collections.abc import Callable

from thingmint.core.identifiers import PrincipalId, Scope
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, ServerPacket
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.data_plane import Delivery, NoWill, WillRight
from thingmint.mqtt.events import Link, Refused
from thingmint.mqtt.gateway.link.deliveries import Deliveries
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol
from thingmint.mqtt.rights.admission import Admitted
from thingmint.mqtt.rights.own_filters import OwnFilters
from thingmint.mqtt.rights.permissions import to_receive
from thingmint.mqtt.rights.ports import DeviceAnswer, DeviceAuthorizer, Requester
from thingmint.mqtt.transport.writer import Writer


def _nobody(told: object) -> None:
    del told


class DeviceLink:
    """The connected device; messages can be sent to it from CONNACK until the connection has ended."""

    __slots__ = (
        "_deliveries",
        "_end",
        "_may_receive",
        "_refused",
        "address",
        "admitted",
        "is_over",
        "owner",
        "principal_id",
        "protocol",
        "provisioning",
        "session_id",
        "will_right",
    )

    def __init__(
        self,
        protocol: DeviceProtocol,
        writer: Writer,
        principal_id: PrincipalId,
        address: str,
        end: Callable[[ReasonCode], None],
        counters: Counters,
        refused: Callable[[Refused], None],
    ) -> None:
        self.protocol = protocol
        self.principal_id = principal_id
        self.address = address
        self.admitted: Admitted | None = None
        self.owner: Scope | None = None
        """The device's account and region, when the device is identified."""
        self.will_right: WillRight = NoWill()
        """Set before the connection is opened at the data plane."""
        self.session_id = ""
        self.provisioning = 0
        self.is_over = False
        self._deliveries = Deliveries(protocol, writer, counters)
        self._end = end
        # What was allowed last, and by whom: a device mostly receives one topic.
        self._may_receive: tuple[DeviceAuthorizer, str] | None = None
        self._refused = refused

    # For the data plane

    @property
    def client_id(self) -> str:
        """The client id, even if the server assigned it."""
        return self.protocol.client_id

    @property
    def scope(self) -> Scope:
        """The device's account and region."""
        assert self.owner is not None, "the data plane hears of a connection when it is known whose it is"
        return self.owner

    @property
    def version(self) -> ProtocolVersion:
        """The MQTT version in its CONNECT."""
        version = self.protocol.version
        assert version is not None, "the data plane hears of a connection at its CONNECT"
        return version

    @property
    def receive_window(self) -> int:
        """How many unacknowledged messages of the data plane the client takes."""
        return self._deliveries.receive_window

    @property
    def own_filters(self) -> int:
        """How many filters the connection itself handles."""
        return len(self.filters)

    def may_receive(self, topic: str) -> bool:
        """Return whether its policies allow iot:Receive on the topic; False before CONNECT is accepted."""
        if self.admitted is None:
            return False
        # Asked for each delivery, so that every call and every text counts.
        authorizer, last = self.admitted.authorizer, self._may_receive
        if last is not None and last[0] is authorizer and last[1] == topic:
            return True
        needed = to_receive(topic)
        if not needed.is_given_by(authorizer):
            self._refused(needed.refused_by(authorizer))
            return False
        self._may_receive = authorizer, topic
        return True

    def deliver(self, message: Publish) -> Delivery:
        """Write the complete message, or nothing."""
        if self.is_over or self.admitted is None:
            return Delivery.FULL
        return self._deliveries.deliver(message)

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Write the complete message, whose bytes are shared with other clients, or nothing."""
        if self.is_over or self.admitted is None:
            return Delivery.FULL
        return self._deliveries.deliver_shared(message, packet_id)

    def disconnect(self, reason_code: ReasonCode) -> None:
        """End the connection with the reason."""
        self._end(reason_code)

    # For requests

    @property
    def authorizer(self) -> DeviceAuthorizer:
        """The device's compiled policies."""
        assert self.admitted is not None, "nothing is asked before CONNECT was accepted"
        return self.admitted.authorizer

    @property
    def requester(self) -> Requester:
        """The device as the caller of operations."""
        return Requester(self.whom.device, self.client_id, self.address)

    @property
    def link(self) -> Link:
        """The connection's identification in events."""
        return Link(self.client_id, self.principal_id, self.session_id, self.address, self.scope)

    @property
    def filters(self) -> OwnFilters:
        """The filters on reserved topics, which the connection itself handles."""
        return self._deliveries.filters

    def send(self, packet: ServerPacket) -> None:
        """Write the answer to a request, unless the connection has ended."""
        if not self.is_over:
            self._deliveries.send(packet)

    def send_event(self, topic: str, payload: bytes) -> None:
        """Write an event of the service if the client has subscribed to it and may receive it."""
        if self.is_over or self.filters.qos_for(topic) is None:
            return
        if self.may_receive(topic):
            self._deliveries.send_event(topic, payload)
        else:
            self._deliveries.lost(Loss.NOT_ALLOWED)

    def sent(self, message: Publish, confirmed: "asyncio.Future[None] | None") -> Delivery:
        """Write a permitted message of the service; ``confirmed`` is set when the client has acknowledged it."""
        if confirmed is None:
            return self._deliveries.send_once(message)
        return self._deliveries.send_confirmed(message, confirmed)

    def answered(self, answer: DeviceAnswer) -> None:
        """Write the answer to a provisioning request, unless the connection has ended or may not receive it."""
        if self.is_over:
            return
        if answer.refused is not None:
            self._refused(answer.refused)
        if self.may_receive(answer.topic):
            self._deliveries.answer(answer)
        else:
            self._deliveries.lost(Loss.NOT_ALLOWED)

    def refuse(self, refused: Refused) -> None:
        """Report to operators that a request was refused."""
        self._refused(refused)

    def was_own(self, packet_id: int) -> bool:
        """Process the client's acknowledgement of a message; return whether it was one of the gateway's own."""
        return self._deliveries.was_own(packet_id)

    @property
    def whom(self) -> Admitted:
        """The device, after CONNECT was accepted."""
        assert self.admitted is not None, "nothing is asked before CONNECT was accepted"
        return self.admitted

    def let_go(self) -> None:
        """Release the ended connection; nothing can be sent any more."""
        self._end, self._refused, self._may_receive = _nobody, _nobody, None
