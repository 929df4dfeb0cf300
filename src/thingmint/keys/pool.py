"""Owns the queue for key pairs: which caller gets the next one, how many are asked of the workers, when to refuse.

A key pair is handed to exactly one waiting caller. The requests to workers are not tied to a caller: the first worker
that finishes serves the longest waiting caller.
"""

import asyncio
import contextlib
import logging
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.host.cores import usable_cores
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.keys.child import WORKER_COMMAND, Channel, Child, ask_evenly
from thingmint.keys.engines import EngineInUse, EngineObserver
from thingmint.keys.generators import Engine
from thingmint.keys.reserve import Clocks, Reserve

_log = logging.getLogger(__name__)

TICK = 1.0
# A worker at normal priority that has finished no key in this many ticks is stuck. Ticks are counted, not seconds,
# so that a process that was stopped and continued does not take its workers for stuck.
STUCK_TICKS = 5
# Until its first key a worker also starts, which takes long on a busy machine. One that is replaced starts anew.
STARTING_TICKS = 30
# Callers are refused when no worker has delivered for this long; while all of them start, after STARTING_TICKS.
UNAVAILABLE_TICKS = 8

FIRST_RESTART_AFTER = 0.1
LAST_RESTART_AFTER = 5.0
REAP_WITHIN = 2.0

# Assumed until the first keys have been timed; an otherwise idle core was measured at 31 ms.
ASSUMED_SECONDS_PER_KEY = 0.05
_NEWEST_WEIGHT = 0.05


class PoolObserver(EngineObserver, Protocol):
    """Is notified of the pool's levels and waiting times. The methods must not raise or block."""

    def reserve_level(self, level: int) -> None:
        """Record how many key pairs are in the reserve."""
        ...

    def observe_reserve_wait(self, seconds: float) -> None:
        """Record how long a caller waited for its key pair."""
        ...

    def waiting(self, count: int) -> None:
        """Record how many callers wait."""
        ...


class KeyPool:
    """Hands out key pairs from the reserve, or generated on demand by a worker per core."""

    def __init__(
        self,
        reserve: int,
        workers: int,
        max_waiting: int,
        observer: PoolObserver,
        *,
        clocks: Clocks | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        engine: Engine = Engine.OPENSSL,
    ) -> None:
        """Configure a pool; ``reserve`` 0 keeps no reserve, ``workers`` 0 means one worker for each usable core."""
        self._engine = EngineInUse(engine, observer)
        self._reserve = Reserve(reserve, clocks or Clocks(), self._distrust_workers)
        # Refilling starts when an eighth is missing, so that single requests on an idle service do not each wake a
        # worker.
        self._low_water = reserve - max(1, reserve // 8)
        self._refilling = True
        self._worker_count = workers or usable_cores()
        self._max_waiting = max_waiting
        self._observer = observer
        self._command = command
        self._waiters: deque[asyncio.Future[KeyPair]] = deque()
        self._children: set[Child] = set()
        self._unreaped: set[Child] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._seconds_per_key = ASSUMED_SECONDS_PER_KEY
        self._silent_ticks = 0
        self._owner = 0

    @property
    def level(self) -> int:
        """How many key pairs are in the reserve."""
        return self._reserve.level

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiters)

    @property
    def engine(self) -> Engine:
        """The engine that makes the keys."""
        return self._engine.engine

    async def start(self) -> None:
        """Start the workers from a thread that lives longer than the pool; return before the first key pair exists."""
        self._owner = os.getpid()
        os.register_at_fork(after_in_child=_forget_in_fork(weakref.ref(self)))
        self._engine.begin()
        first_children = [self._spawn() for _ in range(self._worker_count)]
        self._tasks = [asyncio.create_task(self._keep_worker(child)) for child in first_children]
        self._tasks.append(asyncio.create_task(self._tick_for_ever()))

    async def take(self) -> KeyPair:
        """Return a key pair that no other caller gets.

        Raises Throttled if too many callers wait, ServiceUnavailable if no worker makes keys.
        """
        if self._owner != os.getpid():
            raise ServiceUnavailable
        key_pair = self._reserve.take()
        if key_pair is None:
            return await self._wait_for_key_pair()
        self._observer.observe_reserve_wait(0.0)
        self._reserve_changed()
        return key_pair

    async def close(self) -> None:
        """Refuse the waiting callers, discard the reserve and end the workers, within a bounded time."""
        self._owner = 0
        self._refuse_waiters()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._children.clear()
        for child in self._unreaped:
            child.drop("the pool is closed")
        await asyncio.gather(*map(self._reap, list(self._unreaped)))
        self._reserve.clear()
        self._observer.reserve_level(0)

    def __repr__(self) -> str:
        return f"<KeyPool: {self.level} in reserve, {self.waiting} waiting, {len(self._children)} workers>"

    # Waiting

    async def _wait_for_key_pair(self) -> KeyPair:
        if len(self._waiters) >= self._max_waiting:
            raise Throttled(retry_after=self._seconds_until_served())
        asked_at = time.monotonic()
        waiter: asyncio.Future[KeyPair] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._observer.waiting(len(self._waiters))
        self._reserve_changed()
        try:
            key_pair = await waiter
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise
        self._observer.observe_reserve_wait(time.monotonic() - asked_at)
        return key_pair

    def _give_up(self, waiter: asyncio.Future[KeyPair]) -> None:
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            # The caller was served and cancelled in the same turn of the loop, so it has not received the key pair.
            self._accept(waiter.result())
            return
        with contextlib.suppress(ValueError):
            self._waiters.remove(waiter)
        self._observer.waiting(len(self._waiters))

    def _seconds_until_served(self) -> float:
        return (len(self._waiters) + 1) * self._seconds_per_key / max(1, len(self._children))

    def _refuse_waiters(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(ServiceUnavailable())
        self._observer.waiting(0)

    # Key pairs in, credits out

    def _accept(self, key_pair: KeyPair) -> None:
        """Give the key pair to the longest waiting caller or to the reserve; discard it if it may exist twice."""
        self._silent_ticks = 0
        if self._reserve.drop_unusable():
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(key_pair)
                self._observer.waiting(len(self._waiters))
                break
        else:
            if self._owner:  # A waiter of a closed pool may give its key pair back late.
                self._reserve.put(key_pair)
        self._reserve_changed()

    def _accept_demanded(self, channel: Channel, key_pair: KeyPair) -> None:
        now = time.monotonic()
        self._seconds_per_key += _NEWEST_WEIGHT * (now - channel.busy_since - self._seconds_per_key)
        channel.busy_since = now
        self._accept(key_pair)

    def _accept_idle(self, _channel: Channel, key_pair: KeyPair) -> None:
        self._accept(key_pair)

    def _reserve_changed(self) -> None:
        level = self._reserve.level
        self._observer.reserve_level(level)
        if level >= self._reserve.size:
            self._refilling = False
        elif level <= self._low_water:
            self._refilling = True
        self._ask_workers()

    def _ask_workers(self) -> None:
        """Ask at normal priority for one key pair per waiting caller, at idle priority for the rest of the reserve."""
        ask_evenly([child.demand for child in self._children], len(self._waiters))
        if self._refilling:
            ask_evenly([child.idle for child in self._children], self._reserve.size - self._reserve.level)

    # Workers

    def _spawn(self) -> Child | None:
        try:
            child = Child(self._command, self._accept_demanded, self._accept_idle, self.engine)
        except OSError as error:
            _log.warning("a key worker cannot be started: %s", in_words(error))
            return None
        self._children.add(child)
        self._unreaped.add(child)
        self._ask_workers()
        return child

    async def _keep_worker(self, child: Child | None) -> None:
        """Replace the worker each time it ends, after a longer pause each time unless it has delivered a key pair."""
        delay = FIRST_RESTART_AFTER
        while True:
            if child is not None:
                reason = await child.gone
                self._children.discard(child)
                delay = FIRST_RESTART_AFTER if child.has_worked else delay
                _log.warning("key worker %d ended (%s); another follows in %.1f s", child.pid, reason, delay)
                # Meanwhile the other workers are asked for its outstanding key pairs.
                self._ask_workers()
                await self._reap(child)
                if child.is_at_fault and self._engine.disable(child.engine, reason):
                    self._distrust_engine(child.engine)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_RESTART_AFTER)
            child = self._spawn()

    async def _reap(self, child: Child) -> None:
        if await child.reap(REAP_WITHIN):
            self._unreaped.discard(child)

    @property
    def _is_starting(self) -> bool:
        return bool(self._children) and not any(child.has_worked for child in self._children)

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._reserve.drop_unusable()
            self._reserve_changed()
            self._drop_stuck_workers()
            self._silent_ticks = self._silent_ticks + 1 if self._waiters else 0
            if self._silent_ticks >= (STARTING_TICKS if self._is_starting else UNAVAILABLE_TICKS):
                self._refuse_waiters()

    def _distrust_workers(self) -> None:
        # A copy of this machine has copies of the workers, too, with the same state of their random generators. The
        # kernel seeds only new processes anew. The key pairs that the workers have made since are dropped with them.
        for child in list(self._children):
            child.drop("its random state may have been copied")

    def _distrust_engine(self, engine: Engine) -> None:
        # The keys in the reserve have passed every check, but are discarded, too.
        self._reserve.clear()
        for child in list(self._children):
            if child.engine is engine:
                child.drop("its key engine is disabled")
        self._reserve_changed()

    def _drop_stuck_workers(self) -> None:
        for child in list(self._children):
            if child.demand.count_silent_tick() >= (STUCK_TICKS if child.has_worked else STARTING_TICKS):
                child.drop("it has stopped answering")

    def _forget(self) -> None:
        """Release everything in a fork of the process that owns the pool."""
        self._owner = 0
        self._reserve.clear()
        for child in self._children:
            child.abandon()


def _forget_in_fork(pool: "weakref.ref[KeyPool]") -> Callable[[], None]:
    def forget() -> None:
        if (living := pool()) is not None:
            living._forget()  # noqa: SLF001 - the same class; a hook cannot be unregistered, so it holds no pool alive

    return forget
