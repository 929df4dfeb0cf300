"""Owns messages that differ from an earlier one in their payload only: they are read and encoded without decoding them.

Most devices publish and receive many messages on one topic. The first one is decoded, checked and decided as always.
Of the next ones, the bytes before the payload are compared, and are replaced if the other side has another version of
MQTT. This is for messages of QoS 0 without RETAIN and properties, and for short ones.
"""

from typing import Final

from thingmint.mqtt.codec.framing import FrameReader, frame_bytes
from thingmint.mqtt.codec.packets import Publish, QoS
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.codec.wire import topic_name

PUBLISH_AT_MOST_ONCE: Final = 0x30
"""The first byte of a message of QoS 0 without RETAIN."""
LARGEST_BYTES: Final = 1 + 3 + 0x3FFF + 1
"""The most bytes of such a packet. Its length has at most two octets, and three if MQTT 5 makes it one byte longer."""
_CONTINUES: Final = 0x80
_NO_PROPERTIES: Final = b"\0"


class RepeatedPublish(SharedPublish):
    """Messages on one topic, one after the other: a message is held from ``read`` to ``release``."""

    __slots__ = ("_beginning", "_encoded", "_is_same", "_other_beginning")

    def __init__(self, topic: str, *, from_5: bool, to_5: bool) -> None:
        """Read messages in MQTT 5 if ``from_5`` is true, and encode them in MQTT 5 if ``to_5`` is; else in 3.1.1."""
        super().__init__(Publish(topic, b""), QoS.AT_MOST_ONCE, retain=False)
        name = topic_name(topic)
        self._beginning = name + _NO_PROPERTIES if from_5 else name
        self._other_beginning = name + _NO_PROPERTIES if to_5 else name
        self._is_same = from_5 is to_5
        self._encoded = b""

    @property
    def topic(self) -> str:
        """The topic of all these messages."""
        return self._publish.topic

    def read(self, reader: FrameReader) -> bytes:
        """Take the next packet if it is such a message; return its bytes for the other side, or nothing."""
        taken = reader.next_repeated(PUBLISH_AT_MOST_ONCE, self._beginning)
        if taken and not self._is_same:
            start = 2 if taken[1] < _CONTINUES else 3
            taken = frame_bytes(PUBLISH_AT_MOST_ONCE, self._other_beginning + taken[start + len(self._beginning) :])
        self._encoded = taken
        return taken

    def release(self) -> None:
        """Forget the message."""
        self._encoded = b""

    def bytes_for(self, packet_id: int, *, is_5: bool) -> bytes:
        """Return the packet's bytes; the version is the one that these messages are encoded in."""
        del packet_id, is_5
        return self._encoded

    def message(self, packet_id: int) -> Publish:
        """Return the message that is held."""
        del packet_id
        start = 1
        while self._encoded[start] & _CONTINUES:
            start += 1
        return Publish(self.topic, self._encoded[start + 1 + len(self._other_beginning) :])
