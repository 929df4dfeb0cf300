"""Owns the delivery of one message to many clients, in time slices, so that it does not block the event loop.

Messages of one topic of an account are delivered one after the other, so that all clients get them in the same order.
Accounts take turns, and so do the topics of an account.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterator
from enum import Enum, auto
from typing import Final, Generic, TypeAlias, TypeVar

from thingmint.mqtt.broker.router import Receivers
from thingmint.mqtt.codec.packets import QoS, Subscription
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.queues.kept_message import KeptMessage

# How long messages are delivered before other work gets its turn, and one message before the next one gets its turn.
# Writing the messages of a turn and reading their acknowledgements takes several times as long.
_TURN_SECONDS: Final = 0.002
_SLICE_SECONDS: Final = 0.001
_RECEIVERS_BETWEEN_LOOKS: Final = 8
_STEPS_BETWEEN_LOOKS: Final = 4

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)


class DeliveryResult(Enum):
    """The result of a delivery to one receiver."""

    TAKEN = auto()
    NO_ROOM = auto()
    NOT_WANTED = auto()
    """The client has gone, or may not receive the message."""


Give: TypeAlias = "Callable[[FanOut, str, SharedPublish, float], DeliveryResult]"
"""Gives the message to the client with this client id, in this encoded form, at this time."""
Accept: TypeAlias = "Callable[[FanOut, Receivers, float], ReasonCode]"
"""Accepts the message for these receivers at this time, or returns a failure's code."""


class FanOut:
    """The delivery of a message: its receivers are found, it is accepted for them or refused, and each gets it.

    When it ``is_done``, ``code`` is the answer to the publisher.
    """

    __slots__ = (
        "_accept",
        "_finding",
        "_finish",
        "_give",
        "_no_room",
        "_receivers",
        "_shared",
        "_taken",
        "code",
        "is_done",
        "is_held",
        "message",
        "reserved",
    )

    def __init__(
        self,
        message: KeptMessage,
        finding: Generator[None, None, Receivers],
        accept: Accept,
        give: Give,
        finish: "Callable[[FanOut], None]",
    ) -> None:
        self.message = message
        self.is_held = False
        """Whether memory is charged for the message while it is delivered."""
        self.reserved = 0
        """The number of further receivers for which memory is reserved."""
        self.code = ReasonCode.SUCCESS
        self.is_done = False
        self._taken = False
        self._no_room = False
        self._finding: Generator[None, None, Receivers] | None = finding
        self._accept = accept
        self._give = give
        self._finish = finish
        self._receivers: Iterator[tuple[str, SharedPublish] | None] = iter(())
        # By QoS and RETAIN.
        self._shared: dict[tuple[QoS, bool], SharedPublish] = {}

    @property
    def topic(self) -> str:
        """The message's topic."""
        return self.message.publish.topic

    @property
    def nobody_had_room(self) -> bool:
        """Whether there were receivers, and none of them had room for the message."""
        return self._no_room and not self._taken

    def find(self, now: float, steps: int) -> bool:
        """Find receivers for a number of steps; return whether all are found and the message is accepted or refused."""
        try:
            return self._find(now, steps)
        except Exception:
            # The following messages must still be delivered.
            log.exception("the receivers of a message could not be found")
            self._finding, self.code = None, ReasonCode.UNSPECIFIED_ERROR
            self._end()
            return True

    def run(self, now: float, until: float | None = None) -> bool:
        """Give the message to further receivers until ``time.perf_counter`` passes ``until``; return ``is_done``."""
        while not self.find(now, _STEPS_BETWEEN_LOOKS):
            if until is not None and time.perf_counter() >= until:
                return False
        if self.is_done:
            return True
        try:
            if not self._run_until(now, until):
                return False
        except Exception:
            log.exception("a message could not be passed on to everyone")
            self.code = ReasonCode.UNSPECIFIED_ERROR
        self._end()
        return True

    def _find(self, now: float, steps: int) -> bool:
        if self._finding is None:
            return True
        try:
            for _ in range(steps):
                next(self._finding)
        except StopIteration as end:
            receivers: Receivers = end.value
        else:
            return False
        self._finding = None
        self.code = self._accept(self, receivers, now)
        if self.code.is_failure:
            self._end()
        else:
            self._receivers = self._each(receivers)
        return True

    def _end(self) -> None:
        self.is_done = True
        self._shared.clear()
        self._finish(self)

    def _run_until(self, now: float, until: float | None) -> bool:
        give = self._give
        for count, receiver in enumerate(self._receivers, 1):
            if receiver is None:
                # A member of a shared subscription is being looked for.
                if until is not None and time.perf_counter() >= until:
                    return False
                continue
            client_id, shared = receiver
            given = give(self, client_id, shared, now)
            self._taken |= given is DeliveryResult.TAKEN
            self._no_room |= given is DeliveryResult.NO_ROOM
            if until is not None and not count % _RECEIVERS_BETWEEN_LOOKS and time.perf_counter() >= until:
                return False
        return True

    def _each(self, receivers: Receivers) -> Iterator[tuple[str, SharedPublish] | None]:
        own, merged = receivers.own, receivers.merged
        qos: QoS | None = None
        retains: bool | None = None
        shared: SharedPublish | None = None
        for name in receivers.names:
            subscription = own.get(name)
            # The client may have unsubscribed meanwhile.
            if subscription is not None and (not merged or receivers.is_subscribed(name)):
                if shared is None or subscription.qos is not qos or subscription.retain_as_published is not retains:
                    qos, retains = subscription.qos, subscription.retain_as_published
                    shared = self._shared_for(subscription)
                yield name, shared
        for group in receivers.shared:
            for chosen in group.choose(receivers.readiness):
                yield None if chosen is None else (chosen[0], self._of_group(chosen[1], group.name))

    def _shared_for(self, subscription: Subscription) -> SharedPublish:
        way = self._way(subscription)
        shared = self._shared.get(way)
        if shared is None:
            shared = self._shared[way] = SharedPublish(self.message.publish, *way)
        return shared

    def _of_group(self, member: Subscription, group: str) -> SharedPublish:
        return SharedPublish(self.message.publish, *self._way(member), group)

    def _way(self, subscription: Subscription) -> tuple[QoS, bool]:
        publish = self.message.publish
        qos = subscription.qos if publish.qos else publish.qos
        return qos, publish.retain and subscription.retain_as_published


class FanOutScheduler(Generic[K]):
    """Runs fan-outs of several accounts on the event loop; a short one runs at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # The unfinished fan-outs of each account and topic, in order; the first one is running.
        self._topics: dict[tuple[K, str], deque[FanOut]] = {}
        # The order of the turns: accounts, and the topics of each account.
        self._lanes: dict[K, deque[str]] = {}
        self._turns: deque[K] = deque()
        self._waiters: dict[FanOut, asyncio.Future[None]] = {}
        self._pump: asyncio.Handle | None = None

    def add(self, account: K, fan_out: FanOut) -> None:
        """Deliver a message, now or after the earlier messages on its topic."""
        key = account, fan_out.topic
        # Mostly no message is unfinished, and a scope is hashed in Python.
        queue = self._topics.get(key) if self._topics else None
        if queue is not None:
            queue.append(fan_out)
            return
        if fan_out.run(self._clock(), time.perf_counter() + _SLICE_SECONDS):
            return
        self._topics[key] = deque([fan_out])
        if account not in self._lanes:
            self._lanes[account] = deque()
            self._turns.append(account)
        self._lanes[account].append(fan_out.topic)
        if self._pump is None:
            self._pump = asyncio.get_running_loop().call_soon(self._run)

    async def done(self, fan_out: FanOut) -> None:
        """Wait until the message has been given to all receivers."""
        if not fan_out.is_done:
            waiter = self._waiters[fan_out] = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                self._waiters.pop(fan_out, None)

    def stop(self) -> None:
        """Stop delivering."""
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None

    def _run(self) -> None:
        self._pump = None
        until = time.perf_counter() + _TURN_SECONDS
        while self._turns and time.perf_counter() < until:
            account = self._turns.popleft()
            lane = self._lanes[account]
            topic = lane.popleft()
            if self._run_slice(account, topic):
                lane.append(topic)
            if lane:
                self._turns.append(account)
            else:
                del self._lanes[account]
        if self._turns:
            self._pump = asyncio.get_running_loop().call_soon(self._run)

    def _run_slice(self, account: K, topic: str) -> bool:
        """Run the topic's first fan-out for a time slice; return whether the topic has more work."""
        queue = self._topics[account, topic]
        fan_out = queue[0]
        if not fan_out.run(self._clock(), time.perf_counter() + _SLICE_SECONDS):
            return True
        queue.popleft()
        waiter = self._waiters.pop(fan_out, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if not queue:
            del self._topics[account, topic]
        return bool(queue)
