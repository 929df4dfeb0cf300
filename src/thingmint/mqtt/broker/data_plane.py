"""Owns the built-in brokers, one for each account: finds the broker of a call, and passes it the time.

A broker is created with the first message or connection of its account, and removed within a second after it is empty.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

from thingmint.core.identifiers import Scope
from thingmint.mqtt.broker.broker import LocalBroker
from thingmint.mqtt.broker.due_wills import DueWills
from thingmint.mqtt.broker.fan_out import FanOut, FanOutScheduler
from thingmint.mqtt.codec.packets import Connect, Publish, Subscription
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Gauge
from thingmint.mqtt.data_plane import DeviceConnection, KeptWill, Opened, Retained, WillRight
from thingmint.mqtt.queues.budgets import budgets_of
from thingmint.mqtt.queues.kept_message import KeptMessage
from thingmint.mqtt.queues.limits import BrokerLimits

# How long due wills and sessions are handled before other work gets its turn.
_TURN_SECONDS: Final = 0.005


_OF_BROKERS: Final = (
    Gauge.QUEUED_MESSAGES,
    Gauge.QUEUED_BYTES,
    Gauge.RETAINED_MESSAGES,
    Gauge.RETAINED_BYTES,
    Gauge.SESSIONS_CONNECTED,
    Gauge.SESSIONS_AWAY,
    Gauge.SUBSCRIPTIONS,
    Gauge.ACCOUNTS,
)


class LocalDataPlane:
    """A DataPlane in this process.

    Publishing waits until the message has been given to all receivers; all other calls take effect at once.
    """

    def __init__(self, limits: BrokerLimits, clock: Callable[[], float], counters: Counters | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._counters = counters or Counters()
        self._budgets = budgets_of(limits)
        self._brokers: dict[Scope, LocalBroker] = {}
        # The one that was used last: scopes are hashed in Python, and acknowledgements come in bursts.
        self._recent: tuple[Scope, LocalBroker] | None = None
        self._spreader: FanOutScheduler[Scope] = FanOutScheduler(clock)
        self._wills = DueWills()
        self._going_on: asyncio.Handle | None = None

    def serves(self, scope: Scope) -> bool:
        """Return True: every account can have a broker."""
        del scope
        return True

    async def start(self) -> None:
        """Do nothing: the brokers need no preparation."""

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        """Begin or resume the client's session; raise PacketRefused if its will is for a reserved topic."""
        return self._broker_of(connection.scope).open(connection, connect, self._clock())

    async def publish(self, connection: DeviceConnection, message: Publish) -> ReasonCode:
        """Deliver a message; return PUBACK's code after it has been given to all receivers."""
        fan_out = self._begun(connection.scope, connection, message)
        if not fan_out.is_done:
            await self._spreader.done(fan_out)
        return fan_out.code

    def taker_of(self, connection: DeviceConnection) -> None:
        """Return None, because the broker needs each message itself."""
        del connection

    async def subscribe(
        self, connection: DeviceConnection, subscriptions: Sequence[Subscription]
    ) -> tuple[ReasonCode, ...]:
        """Add subscriptions and return SUBACK's codes."""
        return self._broker_of(connection.scope).subscribe(connection, subscriptions, self._clock())

    async def unsubscribe(self, connection: DeviceConnection, topic_filters: Sequence[str]) -> tuple[ReasonCode, ...]:
        """End subscriptions and return UNSUBACK's codes."""
        return self._broker_of(connection.scope).unsubscribe(connection, topic_filters)

    def acknowledge(self, connection: DeviceConnection, packet_id: int) -> None:
        """Process a PUBACK."""
        self._broker_of(connection.scope).acknowledge(connection, packet_id, self._clock())

    def will_of(self, connection: DeviceConnection) -> KeptWill | None:
        """Return the will that is not published if this process is lost."""
        return self._broker_of(connection.scope).will_of(connection)

    def resume(self, connection: DeviceConnection) -> None:
        """Deliver what waits."""
        self._broker_of(connection.scope).resume(connection, self._clock())

    async def close(
        self, connection: DeviceConnection, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """Remove the connection; publish its will unless it left cleanly."""
        broker = self._broker_of(connection.scope)
        broker.close(connection, self._clock(), clean=clean, session_expiry_interval=session_expiry_interval)

    def advance(self) -> None:
        """Do the work that is due, remove empty brokers, and report the gauges."""
        self._cancel_rest()
        self._go_on(list(self._brokers.values()))
        for scope in [scope for scope, broker in self._brokers.items() if broker.is_empty]:
            self._brokers.pop(scope).leave_budgets()
            self._recent = None
        measured = Counter(dict.fromkeys(_OF_BROKERS, 0))
        for broker in self._brokers.values():
            measured.update(broker.measured())
        self._counters.measured(measured)

    async def publish_own(self, scope: Scope, message: Publish) -> ReasonCode:
        """Deliver a message of the service and return PUBACK's code."""
        fan_out = self._begun(scope, None, message)
        if not fan_out.is_done:
            await self._spreader.done(fan_out)
        return fan_out.code

    async def retained(self, scope: Scope, topic: str) -> Retained | None:
        """Return the topic's retained message."""
        return self._broker_of(scope).retained(topic, self._clock())

    def retained_after(self, scope: Scope, topic: str, count: int) -> Sequence[Retained]:
        """Return up to ``count`` retained messages whose topics sort after ``topic``."""
        return self._broker_of(scope).retained_after(topic, count, self._clock())

    @property
    def kept_here(self) -> "LocalDataPlane":
        """Return this object, because the brokers have the messages in memory."""
        return self

    def accounts(self) -> AbstractSet[Scope]:
        """Return the accounts that have anything here."""
        return self._brokers.keys()

    async def forget(self, scope: Scope) -> None:
        """Remove what the account has here, in time slices."""
        broker = self._brokers.get(scope)
        while broker is not None and not broker.forget(self._clock(), _end_of_turn()):  # noqa: ASYNC110  gives way
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Deliver no further messages, and drop the wills that are not decided yet."""
        await self._wills.stop()
        self._spreader.stop()
        self._cancel_rest()

    def _begun(self, scope: Scope, connection: DeviceConnection | None, message: Publish) -> FanOut:
        """Return a message's delivery, which has begun and is mostly done."""
        fan_out = self._broker_of(scope).begin(connection, message, self._clock())
        if not fan_out.is_done:
            self._spreader.add(scope, fan_out)
        return fan_out

    def _cancel_rest(self) -> None:
        if self._going_on is not None:
            self._going_on.cancel()
            self._going_on = None

    def _go_on(self, brokers: Sequence[LocalBroker]) -> None:
        """Do the due work of these brokers for a limited time, and the rest in later turns of the event loop."""
        self._going_on = None
        is_over = _end_of_turn()
        # All of them get a turn, so that one account's sessions do not delay the others'. A broker that has finished is
        # not called again before the next second, because it replays some stored messages each time.
        unfinished = [broker for broker in brokers if not broker.advance(self._clock(), is_over)]
        if unfinished:
            self._going_on = asyncio.get_running_loop().call_soon(self._go_on, unfinished)

    def _spread(self, scope: Scope, fan_out: FanOut, now: float) -> None:
        del now
        if not fan_out.is_done:
            self._spreader.add(scope, fan_out)

    def _will_is_due(self, scope: Scope, client_id: str, will: KeptMessage, right: WillRight) -> None:
        # A broker is not removed while it has an undecided will.
        broker = self._broker_of(scope)

        def decided(is_allowed: bool) -> None:
            broker.will_decided(client_id, will, self._clock(), is_allowed=is_allowed)

        self._wills.add(scope, client_id, will.publish, right, decided)

    def _broker_of(self, scope: Scope) -> LocalBroker:
        recent = self._recent
        if recent is not None and recent[0] is scope:
            return recent[1]
        broker = self._brokers.get(scope)
        if broker is None:
            broker = self._brokers[scope] = LocalBroker(
                self._limits,
                self._budgets,
                self._counters,
                partial(self._spread, scope),
                partial(self._will_is_due, scope),
            )
        self._recent = scope, broker
        return broker


def _end_of_turn() -> Callable[[], bool]:
    """Return a function that returns whether a turn that begins now is over."""
    until = time.perf_counter() + _TURN_SECONDS
    return lambda: time.perf_counter() >= until
