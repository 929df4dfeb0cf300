"""Owns the messages from the broker to one device: packet ids, the device's receive window, and what must wait.

The broker uses all packet ids, and the device's connection has the lower half for them, so each id is translated, and
its acknowledgement is translated back. Does no I/O: a callback gets the acknowledgements for the broker.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from thingmint.core.topics.names import is_reserved
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.codec.repeated_publish import RepeatedPublish
from thingmint.mqtt.data_plane import DATA_PLANE_PACKET_IDS, Delivery, DeviceConnection
from thingmint.mqtt.queues.kept_message import size_of

_WAITING_BYTES: Final = 4 * 1024 * 1024


class RelayDeliveries:
    """The messages from the broker to one device.

    - If the device's receive window has no room for a message of QoS 1, the message waits here. The packets that the
      broker sends after it are still read, for example an acknowledgement for which the device waits.
    - The broker knows the window, but Mosquitto 2.0.11 sends three messages for each acknowledged one: see
      ``is_crowded``.
    - If the device does not read, nothing is read from the broker: see ``is_full``.
    """

    __slots__ = (
        "_acknowledge",
        "_connection",
        "_in_flight",
        "_last_topic",
        "_repeated",
        "_stuck",
        "_waiting",
        "_waiting_bytes",
        "is_5",
        "is_full",
    )

    def __init__(self, connection: DeviceConnection, acknowledge: Callable[[int], None]) -> None:
        self._connection = connection
        self._acknowledge = acknowledge
        # The broker's packet id by the device's packet id.
        self._in_flight: dict[int, int] = {}
        self._waiting: deque[Publish] = deque()
        self._waiting_bytes = 0
        self._stuck: Publish | None = None
        self._last_topic = ""
        self._repeated: RepeatedPublish | None = None
        self.is_5 = True
        """Whether the broker speaks MQTT 5."""
        self.is_full = False
        """Whether the device does not read, so that nothing more may be read from the broker."""

    @property
    def is_crowded(self) -> bool:
        """Whether too many messages wait for the device's acknowledgements to read more from the broker."""
        return self._waiting_bytes > _WAITING_BYTES

    def take(self, message: Publish) -> None:
        """Deliver the broker's message or queue it; raise PacketRefused if the broker exceeds what it granted."""
        if message.qos is QoS.AT_MOST_ONCE:
            self._deliver_at_most_once(message)
            return
        if message.qos is QoS.EXACTLY_ONCE:
            raise PacketRefused(ReasonCode.PROTOCOL_ERROR, "The broker sent QoS 2, which nobody subscribed to")
        self._waiting.append(message)
        self._waiting_bytes += size_of(message)
        self._send_waiting()

    def take_repeated(self, reader: FrameReader) -> bool:
        """Deliver the next message if it repeats the last one of QoS 0; return whether it does."""
        repeated, connection = self._repeated, self._connection
        if repeated is None or not repeated.read(reader):
            return False
        may_be_given = not connection.is_over and connection.may_receive(repeated.topic)
        if may_be_given and connection.deliver_shared(repeated, 0) is Delivery.FULL:
            self.is_full, self._stuck = True, repeated.message(0)
        repeated.release()
        return True

    def resume(self) -> None:
        """Try again to deliver the messages that wait."""
        self.is_full = False
        stuck, self._stuck = self._stuck, None
        if stuck is not None:
            self._deliver_at_most_once(stuck)
        self._send_waiting()

    def acknowledged(self, packet_id: int) -> None:
        """Pass on the device's acknowledgement; ignore an unknown id."""
        broker_id = self._in_flight.pop(packet_id, None)
        if broker_id is not None:
            self._acknowledge(broker_id)
            self._send_waiting()

    def _deliver_at_most_once(self, message: Publish) -> None:
        if self._connection.is_over or not self._may_be_given(message):
            return
        if self._connection.deliver(message) is Delivery.FULL:
            self.is_full, self._stuck = True, message
        elif message.topic != self._last_topic:
            # For a single message, the preparation would cost more than it saves.
            self._last_topic, self._repeated = message.topic, None
        elif self._repeated is None:
            to_5 = self._connection.version is ProtocolVersion.MQTT_5
            self._repeated = RepeatedPublish(message.topic, from_5=self.is_5, to_5=to_5)

    def _send_waiting(self) -> None:
        if self._connection.is_over:
            # Not acknowledged, so the broker sends it again if the session continues.
            self._waiting.clear()
            self._waiting_bytes = 0
        while self._waiting and not self.is_full and len(self._in_flight) < self._connection.receive_window:
            self._send_first(self._waiting[0])

    def _send_first(self, message: Publish) -> None:
        outcome = Delivery.TOO_LARGE
        packet_id = self._id_for(message.packet_id)
        if self._may_be_given(message):
            own = message if packet_id == message.packet_id else replace(message, packet_id=packet_id)
            outcome = self._connection.deliver(own)
        if outcome is Delivery.FULL:
            self.is_full = True
            return
        self._waiting.popleft()
        self._waiting_bytes -= size_of(message)
        if outcome is Delivery.WRITTEN:
            self._in_flight[packet_id] = message.packet_id
        else:
            # A message that the device may not receive, or that is too large for it, counts as delivered
            # (MQTT-3.1.2-25).
            self._acknowledge(message.packet_id)

    def _may_be_given(self, message: Publish) -> bool:
        # Only the gateway sends messages on reserved topics; a broker's messages there are dropped.
        return not is_reserved(message.topic) and self._connection.may_receive(message.topic)

    def _id_for(self, broker_id: int) -> int:
        # The same id if possible, because a message that is sent again has its old id (MQTT-4.4.0-1, 3.1.1).
        packet_id = broker_id if broker_id in DATA_PLANE_PACKET_IDS else broker_id % DATA_PLANE_PACKET_IDS.stop
        while packet_id in self._in_flight or packet_id not in DATA_PLANE_PACKET_IDS:
            packet_id = packet_id + 1 if packet_id + 1 in DATA_PLANE_PACKET_IDS else DATA_PLANE_PACKET_IDS.start
        return packet_id
