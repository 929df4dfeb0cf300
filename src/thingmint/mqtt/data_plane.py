"""Owns the interfaces of the data plane, which carries messages: to the gateway, and to each connection.

A data plane gets no requests for certificates: the gateway itself handles all topics and filters that start with
``$aws/``, because an answer with a private key must exist only on the connection that asked for it. The gateway also
decides iot:Connect, iot:Publish and iot:Subscribe, and resolves topic aliases, before it calls the data plane. The data
plane asks the connection about iot:Receive for each delivery.

The gateway also checks each SUBSCRIBE packet (``limits.check_subscribe``), client ids and the QoS of wills and
messages, and counts its own messages towards Receive Maximum.

Packet ids of messages to the client: a data plane takes them from ``DATA_PLANE_PACKET_IDS``, the gateway takes those of
its own answers from ``GATEWAY_PACKET_IDS``. Therefore the packet id of a PUBACK shows which of them sent the message.

Accounts are isolated: no action of a device or an operator of one account has an effect in another account. Each
account has separate topics, client ids, sessions and retained messages.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from enum import Enum, auto
from typing import Final, Protocol

from msgspec import Struct

from thingmint.core.identifiers import PrincipalId, Scope
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, Subscription
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish

DATA_PLANE_PACKET_IDS: Final = range(1, 0x8000)
GATEWAY_PACKET_IDS: Final = range(0x8000, 0x10000)


class Delivery(Enum):
    """The result of a delivery to a connection."""

    WRITTEN = auto()
    FULL = auto()
    """Nothing was written, because the client does not read fast enough. The gateway calls ``resume`` when it reads."""
    TOO_LARGE = auto()
    """Nothing was written, because the client accepts no packet of this size (MQTT-3.1.2-25). Do not try again."""


class WillRight(Protocol):
    """Decides whether a device's will may be published."""

    async def allows(self, message: Publish) -> bool:
        """Return whether the device that left the will may publish it now."""
        ...


class NoWill:
    """The decision for a connection without a will."""

    async def allows(self, message: Publish) -> bool:
        """Return False, because CONNECT had no will."""
        del message
        return False


class DeviceConnection(Protocol):
    """One device's connection, for the data plane. The methods return at once and never call the data plane."""

    @property
    def client_id(self) -> str:
        """The client id, even if the server assigned it."""
        ...

    @property
    def scope(self) -> Scope:
        """The device's account and region, which do not change during a connection."""
        ...

    @property
    def principal_id(self) -> PrincipalId:
        """The id of the device's certificate."""
        ...

    @property
    def version(self) -> ProtocolVersion:
        """The MQTT version in its CONNECT."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, so that nothing more can be delivered; ``close`` will follow."""
        ...

    @property
    def receive_window(self) -> int:
        """How many messages of the data plane may be unacknowledged: Receive Maximum less the gateway's answers."""
        ...

    @property
    def own_filters(self) -> int:
        """How many filters the connection itself handles; they count towards the limit of subscriptions."""
        ...

    def may_receive(self, topic: str) -> bool:
        """Return whether its policies allow iot:Receive on the topic.

        ``$share/GROUP/TOPIC`` means a message on TOPIC that a shared subscription of the group matches.
        """
        ...

    @property
    def will_right(self) -> WillRight:
        """Decides whether its will may be published; called when the will is due, also after the connection's end."""
        ...

    def deliver(self, message: Publish) -> Delivery:
        """Write the complete message, or nothing."""
        ...

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Write the complete message, whose bytes are shared with other clients, or nothing; the id is 0 at QoS 0."""
        ...

    def disconnect(self, reason_code: ReasonCode) -> None:
        """End the connection with the reason. The gateway calls ``close`` later, as for every connection."""
        ...


class Offer(Struct, frozen=True):
    """The features of AWS IoT that the data plane supports, for CONNACK of MQTT 5. Sizes are in bytes."""

    has_retained: bool = True
    has_shared_subscriptions: bool = True
    has_wildcards: bool = True
    has_qos_1: bool = True
    maximum_packet_size: int | None = None
    """None if it is not smaller than the gateway's."""


class Opened(Struct, frozen=True):
    """The facts of the session and of the data plane for CONNACK."""

    session_present: bool
    session_expiry_interval: int
    """The granted expiry in seconds, which may be less than the client requested."""
    offer: Offer = Offer()


class Retained(Struct, frozen=True):
    """A retained message, its age in seconds, and the time by the data plane's clock since when it is retained.

    ``age`` is None if it is not known.
    """

    message: Publish
    age: float | None
    stored_at: float = 0.0


class KeptWill(Struct, frozen=True):
    """A will, and its delay in seconds, during which the client may reconnect."""

    message: Publish
    delay: int


class MessageTaker(Protocol):
    """Takes encoded messages of one connection: of QoS 0, without RETAIN and properties."""

    @property
    def is_5(self) -> bool:
        """Whether the messages must be encoded in MQTT 5; otherwise in MQTT 3.1.1."""
        ...

    @property
    def takes_now(self) -> bool:
        """Whether a message can be taken now. If not, `DataPlane.publish` waits, or says why not."""
        ...

    def take(self, encoded: bytes) -> None:
        """Take over a message on a topic on which `DataPlane.publish` has accepted one of this connection."""
        ...


class NotReadable(Exception):
    """The data plane cannot list its retained messages."""


class KeptMessages(Protocol):
    """The sessions, wills and retained messages that a data plane has in this process."""

    def accounts(self) -> AbstractSet[Scope]:
        """Return the accounts that have anything here."""
        ...

    async def forget(self, scope: Scope) -> None:
        """Remove the account's retained messages, wills and sessions; those of connected clients end with them."""
        ...


class DataPlane(Protocol):
    """Carries messages between connections of one account. The calls for one connection come one after the other."""

    def serves(self, scope: Scope) -> bool:
        """Return whether the data plane serves the account; devices of other accounts are refused."""
        ...

    async def start(self) -> None:
        """Prepare for the first device. Called once, before all other methods except ``serves``."""
        ...

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        """Begin or resume the client's session; disconnect an older connection with the account's client id.

        Nothing is delivered before ``resume``, which is called after CONNACK. ``connect.client_id`` may be empty; the
        connection's client id is used. Raises PacketRefused if the session cannot be opened.
        """
        ...

    async def publish(self, connection: DeviceConnection, message: Publish) -> ReasonCode:
        """Take over a message and return the code of its PUBACK. Topic aliases are already resolved."""
        ...

    def taker_of(self, connection: DeviceConnection) -> MessageTaker | None:
        """Return what takes encoded messages of the open connection; None if each must be published."""
        ...

    async def subscribe(
        self, connection: DeviceConnection, subscriptions: Sequence[Subscription]
    ) -> tuple[ReasonCode, ...]:
        """Add subscriptions and return SUBACK's codes, in order; retained messages wait for ``resume``."""
        ...

    async def unsubscribe(self, connection: DeviceConnection, topic_filters: Sequence[str]) -> tuple[ReasonCode, ...]:
        """End subscriptions and return UNSUBACK's codes, in order."""
        ...

    def acknowledge(self, connection: DeviceConnection, packet_id: int) -> None:
        """Process a PUBACK with one of ``DATA_PLANE_PACKET_IDS``, and deliver what waits; ignore unknown ids."""
        ...

    def resume(self, connection: DeviceConnection) -> None:
        """Deliver what waits; called after CONNACK, after SUBACK, and when the client reads or acknowledges again."""
        ...

    async def close(
        self, connection: DeviceConnection, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """Remove the connection; publish its will unless it left cleanly. A second call has no effect.

        ``session_expiry_interval`` is that of an MQTT 5 DISCONNECT, which replaces that of CONNECT.
        """
        ...

    def will_of(self, connection: DeviceConnection) -> KeptWill | None:
        """Return the will that another node must publish if this process is lost; None if a broker publishes it."""
        ...

    def advance(self) -> None:
        """Handle what is due: delayed wills, expired sessions, the next stored messages. Called every second."""
        ...

    # For the service itself, which has no connection

    async def publish_own(self, scope: Scope, message: Publish) -> ReasonCode:
        """Take over a message from the service to the account's devices, and return the code that a PUBACK would have.

        Raises PacketRefused as `publish` does.
        """
        ...

    async def retained(self, scope: Scope, topic: str) -> Retained | None:
        """Return the retained message of the account's topic; raise PacketRefused if it cannot be read now."""
        ...

    def retained_after(self, scope: Scope, topic: str, count: int) -> Sequence[Retained]:
        """Return up to ``count`` retained messages whose topics sort after ``topic``, in order; raise NotReadable."""
        ...

    @property
    def kept_here(self) -> KeptMessages | None:
        """What is in this process; None if brokers have it."""
        ...

    async def stop(self) -> None:
        """Release the resources of the service itself; the devices' connections have already been closed."""
        ...
