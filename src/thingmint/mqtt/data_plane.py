"""Owns the interface between the gateway and the data plane that carries messages, and between that and a connection.

A data plane sees no request for a certificate: the gateway keeps every topic and filter that starts with ``$aws/`` to
itself, because an answer with a private key must not exist anywhere but on the connection that asked for it. The
gateway also decides iot:Connect, iot:Publish and iot:Subscribe, and resolves topic aliases, before it asks; iot:Receive
is asked of the connection for each delivery.

On its side of this line the gateway also checks each SUBSCRIBE as a whole (``limits.check_subscribe``), answers what a
client id, a will's QoS or a QoS 2 message deserve, and counts what it sends itself against Receive Maximum.

Packet ids of messages towards the client: a data plane takes them from ``DATA_PLANE_PACKET_IDS``, the gateway takes
those of its own answers from ``GATEWAY_PACKET_IDS``; so a PUBACK says whose message it acknowledges.

Accounts are kept apart: nothing that a device or an operator of one account does is heard, found or felt in another.
Each account has topics, client ids, sessions and retained messages of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from thingmint.core.identifiers import CertificateId, Scope
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, Subscription
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish

DATA_PLANE_PACKET_IDS: Final = range(1, 0x8000)
GATEWAY_PACKET_IDS: Final = range(0x8000, 0x10000)


class Delivery(Enum):
    """What became of a message that a connection was given."""

    WRITTEN = auto()
    FULL = auto()
    """Nothing was written: the client does not read fast enough. ``resume`` will say when it does."""
    TOO_LARGE = auto()
    """Nothing was written, nor will it be: the client takes no packet of this size (MQTT-3.1.2-25)."""


class WillRight(Protocol):
    """Decides whether a will may be published."""

    async def allows(self, message: Publish) -> bool:
        """Return whether the device that left the will may publish it now."""
        ...


class NoWill:
    """The right of a connection that leaves no will."""

    async def allows(self, message: Publish) -> bool:
        """Return False: nothing was asked for at CONNECT."""
        del message
        return False


class DeviceConnection(Protocol):
    """One device's connection, as a data plane sees it. Its methods return at once and never call the data plane."""

    @property
    def client_id(self) -> str:
        """The client id, also when the server chose it."""
        ...

    @property
    def scope(self) -> Scope:
        """The account and region that the device belongs to; never another for one connection."""
        ...

    @property
    def certificate_id(self) -> CertificateId:
        """The certificate that the device showed."""
        ...

    @property
    def version(self) -> ProtocolVersion:
        """The version of its CONNECT."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, so that nothing is delivered any more; ``close`` will follow."""
        ...

    @property
    def receive_window(self) -> int:
        """How many unacknowledged messages of the data plane the client takes: its Receive Maximum less our answers."""
        ...

    @property
    def own_filters(self) -> int:
        """How many filters the connection keeps to itself; they count towards the limit of subscriptions."""
        ...

    def may_receive(self, topic: str) -> bool:
        """Return whether its policies allow iot:Receive on the topic.

        ``$share/GROUP/TOPIC`` names a message of TOPIC that comes through a shared subscription of the group.
        """
        ...

    @property
    def will_right(self) -> WillRight:
        """What decides whether its will may be published; asked when the will is due, also after the connection."""
        ...

    def deliver(self, message: Publish) -> Delivery:
        """Write the message whole, or nothing of it."""
        ...

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Write a message whole, or nothing of it, whose bytes others get too; the identifier is 0 at QoS 0."""
        ...

    def disconnect(self, reason_code: ReasonCode) -> None:
        """End the connection with the reason. The gateway then calls ``close`` as for every connection, later."""
        ...


@dataclass(frozen=True, slots=True)
class Offer:
    """What the data plane has of AWS IoT's features, as CONNACK tells it to devices of MQTT 5. Sizes are in bytes."""

    has_retained: bool = True
    has_shared_subscriptions: bool = True
    has_wildcards: bool = True
    has_qos_1: bool = True
    maximum_packet_size: int | None = None
    """None if it is not less than the gateway's."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What CONNACK says of the session and of the data plane."""

    session_present: bool
    session_expiry_interval: int
    """In seconds, as granted: may be less than was asked for."""
    offer: Offer = Offer()


@dataclass(frozen=True, slots=True)
class Retained:
    """A retained message, for how many seconds it has been one, and since when by the data plane's own clock.

    ``age`` is None where that is not known.
    """

    message: Publish
    age: float | None
    stored_at: float = 0.0


@dataclass(frozen=True, slots=True)
class KeptWill:
    """A will, and for how many seconds it waits for its client to come back."""

    message: Publish
    delay: int


class NotReadable(Exception):
    """The data plane keeps its retained messages to itself."""


class DataPlane(Protocol):
    """Carries messages between connections of one account. Of one connection, calls come one after the other."""

    def serves(self, scope: Scope) -> bool:
        """Return whether the data plane serves devices of the account; a device that it does not serve is refused."""
        ...

    async def start(self) -> None:
        """Find out what is needed before the first device connects. Called once, before all else but ``serves``."""
        ...

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        """Begin or resume the client's session; an older connection of the account's client id is disconnected.

        Nothing is delivered until ``resume``, which follows CONNACK. ``connect.client_id`` may be empty: what counts is
        the connection's. Raises PacketRefused if the session cannot be had.
        """
        ...

    async def publish(self, connection: DeviceConnection, message: Publish) -> ReasonCode:
        """Take over a message and return the code of its PUBACK. The topic is whole: aliases are resolved."""
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
        """Note a PUBACK for one of ``DATA_PLANE_PACKET_IDS``, and deliver what waits; unknown ids are ignored."""
        ...

    def resume(self, connection: DeviceConnection) -> None:
        """Deliver what waits: after CONNACK, after SUBACK, when the client reads again or acknowledges an answer."""
        ...

    async def close(
        self, connection: DeviceConnection, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """Forget the connection; its will is published unless it left cleanly. Closing twice changes nothing.

        ``session_expiry_interval`` is that of an MQTT 5 DISCONNECT, which replaces CONNECT's.
        """
        ...

    def will_of(self, connection: DeviceConnection) -> KeptWill | None:
        """Return what is published if this process is lost with the connection; None if another one publishes it."""
        ...

    def advance(self) -> None:
        """Do what is due: delayed wills, expired sessions, the next of the stored messages. Called every second."""
        ...

    # For the service itself, which is no device and has no connection

    async def publish_own(self, scope: Scope, message: Publish) -> ReasonCode:
        """Take over a message to the account's devices that comes from none of them, and say what a PUBACK would.

        Raises PacketRefused likewise.
        """
        ...

    async def retained(self, scope: Scope, topic: str) -> Retained | None:
        """Return the retained message of the account's topic; raise PacketRefused if it cannot be had now."""
        ...

    def retained_after(self, scope: Scope, topic: str, count: int) -> Sequence[Retained]:
        """Return so many retained messages whose topics come after this one, by topic; raise NotReadable."""
        ...

    async def stop(self) -> None:
        """Let go of what is held for the service itself; the connections of devices have been closed."""
        ...
