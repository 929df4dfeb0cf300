"""Owns the built-in broker's place behind the gateway: the same calls, with the time of a clock."""

from collections.abc import Callable, Sequence

from thingmint.mqtt.data_plane import DeviceConnection, Opened, Retained
from thingmint.mqtt.local_broker import LocalBroker
from thingmint.mqtt.packets import Connect, Publish, Subscription
from thingmint.mqtt.reason_codes import ReasonCode


class LocalDataPlane:
    """A DataPlane in this process. Its coroutines never wait, so that nothing comes between a call and its effect."""

    def __init__(self, broker: LocalBroker, clock: Callable[[], float]) -> None:
        self._broker = broker
        self._clock = clock

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        """Begin or resume the client's session; raise PacketRefused if its will is for a reserved topic."""
        return self._broker.open(connection, connect, self._clock())

    async def publish(self, connection: DeviceConnection, message: Publish) -> ReasonCode:
        """Pass a message on and return PUBACK's code."""
        return self._broker.publish(connection, message, self._clock())

    async def subscribe(
        self, connection: DeviceConnection, subscriptions: Sequence[Subscription]
    ) -> tuple[ReasonCode, ...]:
        """Add subscriptions and return SUBACK's codes."""
        return self._broker.subscribe(connection, subscriptions, self._clock())

    async def unsubscribe(self, connection: DeviceConnection, topic_filters: Sequence[str]) -> tuple[ReasonCode, ...]:
        """End subscriptions and return UNSUBACK's codes."""
        return self._broker.unsubscribe(connection, topic_filters)

    def acknowledge(self, connection: DeviceConnection, packet_id: int) -> None:
        """Note a PUBACK."""
        self._broker.acknowledge(connection, packet_id, self._clock())

    def resume(self, connection: DeviceConnection) -> None:
        """Deliver what waits."""
        self._broker.resume(connection, self._clock())

    async def close(
        self, connection: DeviceConnection, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """Forget the connection; its will is published unless it left cleanly."""
        self._broker.close(connection, self._clock(), clean=clean, session_expiry_interval=session_expiry_interval)

    def advance(self) -> None:
        """Do what is due."""
        self._broker.advance(self._clock())

    async def publish_own(self, message: Publish) -> ReasonCode:
        """Pass a message of the service on and return PUBACK's code."""
        return self._broker.publish(None, message, self._clock())

    def retained(self, topic: str) -> Retained | None:
        """Return the topic's retained message."""
        return self._broker.retained(topic, self._clock())

    def retained_after(self, topic: str, count: int) -> Sequence[Retained]:
        """Return so many retained messages whose topics come after this one."""
        return self._broker.retained_after(topic, count, self._clock())

    async def stop(self) -> None:
        """Nothing is held."""
