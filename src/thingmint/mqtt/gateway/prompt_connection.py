"""Owns what a device's connection does without a task: acknowledgements, pings, repeated messages, time limits.

These are most of what receiving and idle clients send. A task for each would cost more than what they ask for.
"""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Final

from thingmint.mqtt.codec.packets import Pingresp
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.events import DisconnectReason
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol
from thingmint.mqtt.gateway.link.observed_connection import ObservedConnection
from thingmint.mqtt.gateway.link.repetition import Repetition
from thingmint.mqtt.gateway.request_turns import take_acknowledgements
from thingmint.mqtt.gateway.services import Services
from thingmint.mqtt.transport.writer import Writer

# The longest packet that is handled without the protocol's buffer.
_SHORT_BYTES: Final = 4


class PromptConnection(ObservedConnection, ABC):
    """A connection, as far as it needs no task."""

    __slots__ = ("_ending", "_last_heard_at", "_repetition", "_services", "_writer")

    _writer: Writer

    def __init__(self, services: Services) -> None:
        """Take what is the same for all connections."""
        super().__init__(DeviceProtocol(services.limits.connect_bytes))
        self._services = services
        self._ending: DisconnectReason | None = None
        self._repetition: Repetition | None = None
        self._last_heard_at = 0.0

    @abstractmethod
    def end(self, reason: ReasonCode, message: str = "", *, cut: bool = False) -> None:
        """End the connection; with ``cut``, discard data that the client has not read."""

    @property
    @abstractmethod
    def _is_working(self) -> bool:
        """Whether a task handles requests. They have come before what has arrived now."""

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, even if its socket is not closed yet."""
        return self._ending is not None

    @property
    def silent_until(self) -> float:
        """The event loop's time at which the client will have been silent for too long if it sends nothing more."""
        return self._last_heard_at + self._silence_limit

    @property
    def _silence_limit(self) -> float:
        return self.protocol.keep_alive * self._services.limits.keep_alive_grace

    def enforce_keep_alive(self, now: float) -> None:
        """End the connection if its client has been silent for too long."""
        # A client whose requests wait here is not silent.
        if not self._is_working and not self._writer.paused and now - self._last_heard_at > self._silence_limit:
            self.end(ReasonCode.KEEP_ALIVE_TIMEOUT, "Nothing was heard within the keep-alive time")

    def enforce_validity(self, now: datetime) -> None:
        """End the connection if its credentials have expired; ``now`` is by the clock of certificates."""
        admitted = self.device.admitted
        if admitted is not None and now > admitted.device.valid_until:
            self.end(ReasonCode.NOT_AUTHORIZED, "The credentials have expired", cut=True)

    def _takes_at_once(self, data: bytes) -> bool:
        """Handle a single short packet that needs no task; return whether it was one."""
        return self._may_acknowledge() and len(data) <= _SHORT_BYTES and self._handle_short_packet(data)

    def _is_handled_at_once(self) -> bool:
        """Handle what needs no task: acknowledgements, repeated messages; return whether nothing else has arrived."""
        if not self._may_acknowledge():
            return False
        if take_acknowledgements(self.protocol, self._acknowledged):
            self._last_heard_at = self._services.loop.time()
        self._pass_on_repeated()
        return not self.protocol.buffered

    def _handle_short_packet(self, data: bytes) -> bool:
        """Handle a single acknowledgement or ping; return whether it was one."""
        packet_id = self.protocol.only_acknowledgement(data)
        if not packet_id and not self.protocol.is_only_ping(data):
            return False
        self._last_heard_at = self._services.loop.time()
        if packet_id:
            self._acknowledged(packet_id)
            return True
        self.enforce_validity(self._services.clock.now())
        self.device.send(Pingresp())
        return True

    def _may_acknowledge(self) -> bool:
        return self._ending is None and self.device.admitted is not None and not self._writer.paused

    def _pass_on_repeated(self) -> None:
        if self._repetition is None:
            return
        self.enforce_validity(self._services.clock.now())
        if self._may_go_on() and self._repetition.pass_on(self.protocol, self.device.authorizer, self._services.turns):
            self._last_heard_at = self._services.loop.time()

    def _may_go_on(self) -> bool:
        return self._ending is None and not self._writer.paused

    def _acknowledged(self, packet_id: int) -> None:
        if self.device.was_own(packet_id):
            self._services.data_plane.resume(self.device)
        else:
            self._services.data_plane.acknowledge(self.device, packet_id)
