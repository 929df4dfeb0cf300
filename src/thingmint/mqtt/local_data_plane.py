"""Owns the built-in brokers behind the gateway, one for each account: whose a call is, and the time of a clock.

A broker comes with the first message or connection of its account and goes when nothing is in it, within a second.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence

from thingmint.core.identifiers import Scope
from thingmint.mqtt.data_plane import DeviceConnection, Opened, Retained, WillRight
from thingmint.mqtt.limits import BrokerLimits
from thingmint.mqtt.local_broker import LocalBroker
from thingmint.mqtt.packets import Connect, Publish, Subscription
from thingmint.mqtt.reason_codes import ReasonCode
from thingmint.mqtt.rooms import rooms_of


class LocalDataPlane:
    """A DataPlane in this process. Its coroutines never wait, so that nothing comes between a call and its effect."""

    def __init__(self, limits: BrokerLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._rooms = rooms_of(limits)
        self._brokers: dict[Scope, LocalBroker] = {}
        self._wills: set[asyncio.Task[None]] = set()

    @property
    def scopes(self) -> frozenset[Scope]:
        """Those that have a broker now."""
        return frozenset(self._brokers)

    def serves(self, scope: Scope) -> bool:
        """Say yes: there is a broker for everyone."""
        del scope
        return True

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        """Begin or resume the client's session; raise PacketRefused if its will is for a reserved topic."""
        return self._broker_of(connection.scope).open(connection, connect, self._clock())

    async def publish(self, connection: DeviceConnection, message: Publish) -> ReasonCode:
        """Pass a message on and return PUBACK's code."""
        return self._broker_of(connection.scope).publish(connection, message, self._clock())

    async def subscribe(
        self, connection: DeviceConnection, subscriptions: Sequence[Subscription]
    ) -> tuple[ReasonCode, ...]:
        """Add subscriptions and return SUBACK's codes."""
        return self._broker_of(connection.scope).subscribe(connection, subscriptions, self._clock())

    async def unsubscribe(self, connection: DeviceConnection, topic_filters: Sequence[str]) -> tuple[ReasonCode, ...]:
        """End subscriptions and return UNSUBACK's codes."""
        return self._broker_of(connection.scope).unsubscribe(connection, topic_filters)

    def acknowledge(self, connection: DeviceConnection, packet_id: int) -> None:
        """Note a PUBACK."""
        self._broker_of(connection.scope).acknowledge(connection, packet_id, self._clock())

    def resume(self, connection: DeviceConnection) -> None:
        """Deliver what waits."""
        self._broker_of(connection.scope).resume(connection, self._clock())

    async def close(
        self, connection: DeviceConnection, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """Forget the connection; its will is published unless it left cleanly."""
        broker = self._broker_of(connection.scope)
        broker.close(connection, self._clock(), clean=clean, session_expiry_interval=session_expiry_interval)

    def advance(self) -> None:
        """Do what is due, and forget the brokers that have become empty."""
        for broker in self._brokers.values():
            broker.advance(self._clock())
        for scope in [scope for scope, broker in self._brokers.items() if broker.is_empty]:
            self._brokers.pop(scope).leave_rooms()

    async def publish_own(self, scope: Scope, message: Publish) -> ReasonCode:
        """Pass a message of the service on and return PUBACK's code."""
        return self._broker_of(scope).publish(None, message, self._clock())

    def retained(self, scope: Scope, topic: str) -> Retained | None:
        """Return the topic's retained message."""
        return self._broker_of(scope).retained(topic, self._clock())

    def retained_after(self, scope: Scope, topic: str, count: int) -> Sequence[Retained]:
        """Return so many retained messages whose topics come after this one."""
        return self._broker_of(scope).retained_after(topic, count, self._clock())

    async def stop(self) -> None:
        """Give up the wills that nobody has decided on yet."""
        wills = tuple(self._wills)
        for task in wills:
            task.cancel()
        await asyncio.gather(*wills, return_exceptions=True)

    def _broker_of(self, scope: Scope) -> LocalBroker:
        broker = self._brokers.get(scope)
        if broker is None:
            wills = functools.partial(self._will_is_due, scope)
            broker = self._brokers[scope] = LocalBroker(self._limits, self._rooms, wills)
        return broker

    def _will_is_due(self, scope: Scope, client_id: str, message: Publish, right: WillRight) -> None:
        task = asyncio.get_running_loop().create_task(self._publish_will(scope, client_id, message, right))
        # The loop itself holds tasks weakly.
        self._wills.add(task)
        task.add_done_callback(self._wills.discard)

    async def _publish_will(self, scope: Scope, client_id: str, message: Publish, right: WillRight) -> None:
        if await right.allows(message):
            self._broker_of(scope).publish_will(client_id, message, self._clock())
