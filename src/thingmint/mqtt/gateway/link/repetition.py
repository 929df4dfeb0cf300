"""Owns the shortest way of a device's messages: those on the topic of its last ones are passed on without decoding.

What is decided about a message of QoS 0 depends on its topic, on the policies in force and on its size. So the next
message on the same topic is passed on if the same policies are in force. `codec.repeated_publish` bounds its size.
"""

from thingmint.mqtt.codec.packets import Publish, QoS
from thingmint.mqtt.codec.repeated_publish import RepeatedPublish
from thingmint.mqtt.data_plane import MessageTaker
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol
from thingmint.mqtt.pacing.turns import Turns
from thingmint.mqtt.rights.ports import DeviceAuthorizer


class Repetition:
    """The topic of one device's last message, and whether messages on it may be passed on."""

    __slots__ = ("_allowed_by", "_repeated", "_taker", "_topic")

    def __init__(self, taker: MessageTaker) -> None:
        self._taker = taker
        self._topic = ""
        self._repeated: RepeatedPublish | None = None
        self._allowed_by: DeviceAuthorizer | None = None

    def accepted(self, message: Publish, authorizer: DeviceAuthorizer, *, is_5: bool) -> None:
        """Record that these policies allow a message, and that the data plane has accepted it."""
        if message.qos is not QoS.AT_MOST_ONCE or message.retain:
            return
        if message.topic != self._topic:
            # For a single message, the preparation would cost more than it saves.
            self._topic, self._repeated = message.topic, None
        elif self._repeated is None:
            self._repeated = RepeatedPublish(message.topic, from_5=is_5, to_5=self._taker.is_5)
        self._allowed_by = authorizer

    def pass_on(self, protocol: DeviceProtocol, authorizer: DeviceAuthorizer, turns: Turns) -> bool:
        """Pass on the messages that come next, while there is time in this turn; return whether there were any."""
        repeated, taker = self._repeated, self._taker
        if repeated is None or authorizer is not self._allowed_by:
            return False
        has_passed = False
        while taker.takes_now and not turns.is_over and (encoded := protocol.next_repeated(repeated)):
            taker.take(encoded)
            has_passed = True
        repeated.release()
        return has_passed
