"""The key pool with real workers, and with small programs in their place where the order of events matters."""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.host.hardening import WIPING_ENVIRONMENT
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.keys import pool as pool_module
from thingmint.keys.child import WORKER_COMMAND, FrameBroken, worker_environment
from thingmint.keys.pool import KeyPool
from thingmint.keys.reserve import MAX_AGE, Clocks, Reserve, read_boot_id

# Programs in a worker's place. Each gets the descriptors of its channels as a worker does and ends with its parent.
_PREAMBLE = """
import os, select, socket, struct, sys, time
idle, demand = (socket.socket(fileno=int(n)) for n in sys.argv[1:3])
def readable(*channels):
    for channel in select.select(channels, [], [])[0]:
        credits = channel.recv(64)
        if not credits:
            os._exit(0)
        yield channel, len(credits)
def answer(channel, public, private):
    channel.sendall(struct.pack("!HH", len(public), len(private)) + public + private)
"""
ANSWERS_AT_ONCE = """
n = 0
while True:
    for channel, owed in readable(idle, demand):
        for _ in range(owed):
            n += 1
            answer(channel, b"%d of %d" % (n, os.getpid()), b"private")
"""
ANSWERS_DEMAND_ONLY = """
n = 0
while True:
    for channel, owed in readable(idle, demand):
        for _ in range(owed if channel is demand else 0):
            n += 1
            answer(channel, b"%d of %d" % (n, os.getpid()), b"private")
"""
IDLE_LANE_ANSWERS_ONLY = """
n = 0
while True:
    for channel, owed in readable(idle, demand):
        for _ in range(owed if channel is idle else 0):
            n += 1
            answer(channel, b"%d of %d" % (n, os.getpid()), b"private")
"""
NEVER_ANSWERS = """
while True:
    list(readable(idle, demand))
"""
FAILS = """
while True:
    for channel, owed in readable(idle, demand):
        answer(channel, b"", b"WeakKey")
"""
SENDS_NONSENSE = """
while True:
    for channel, owed in readable(idle, demand):
        channel.sendall(b"\\xff" * 4)
"""
ENDS_AT_ONCE = "os._exit(1)"


def program(text: str) -> tuple[str, ...]:
    """Return the command that runs the text in a worker's place."""
    return (sys.executable, "-I", "-S", "-c", _PREAMBLE + text)


@dataclass
class Observer:
    """Remembers what the pool said last, and wakes who waits for a change."""

    level: int = 0
    waiters: int = 0
    engine: str = ""
    faults: int = 0
    waits: list[float] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def reserve_level(self, level: int) -> None:
        """Remember the level."""
        self.level = level
        self.changed.set()

    def observe_reserve_wait(self, seconds: float) -> None:
        """Remember the wait."""
        self.waits.append(seconds)

    def waiting(self, count: int) -> None:
        """Remember the number of waiters."""
        self.waiters = count
        self.changed.set()

    def key_engine(self, engine: str) -> None:
        """Remember the engine."""
        self.engine = engine
        self.changed.set()

    def key_engine_failed(self) -> None:
        """Count the fault."""
        self.faults += 1

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; it is looked at after each change.

        The reserve is filled by processes that run when nothing else does: on a busy machine they are late.
        """
        async with asyncio.timeout(240):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Pools:
    """Opens pools and closes them at the end of the test."""

    observer: Observer
    exits: contextlib.AsyncExitStack

    async def open(
        self,
        reserve: int = 0,
        workers: int = 1,
        max_waiting: int = 128,
        command: Sequence[str] = WORKER_COMMAND,
        clocks: Clocks | None = None,
    ) -> KeyPool:
        """Return a started pool."""
        pool = KeyPool(reserve, workers, max_waiting, self.observer, clocks=clocks, command=command)
        self.exits.push_async_callback(pool.close)
        await pool.start()
        return pool


@pytest.fixture
async def pools() -> AsyncIterator[Pools]:
    """Return what opens pools."""
    async with contextlib.AsyncExitStack() as exits:
        yield Pools(Observer(), exits)


@pytest.fixture
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pool look after its workers and its reserve all the time."""
    monkeypatch.setattr(pool_module, "TICK", 0.02)


@pytest.fixture
def late_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for real workers, which are late on a crowded machine although nothing is wrong with them."""
    for ticks in ("STUCK_TICKS", "STARTING_TICKS", "UNAVAILABLE_TICKS"):
        monkeypatch.setattr(pool_module, ticks, 1_000_000)


class Hands:
    """Clocks that stand still until they are moved."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.wall = 1_800_000_000.0
        self.boot_id = "this boot"

    def clocks(self) -> Clocks:
        """Return the clocks."""
        return Clocks(monotonic=lambda: self.monotonic, wall=lambda: self.wall, boot_id=lambda: self.boot_id)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic += seconds
        self.wall += seconds


class Twins:
    """Counts how often the reserve was emptied because of a twin."""

    def __init__(self) -> None:
        self.counted = 0

    def count(self) -> None:
        """Count one."""
        self.counted += 1


def no_twin_expected() -> None:
    """Fail the test."""
    raise AssertionError("the reserve was emptied")


def key_pair(name: str) -> KeyPair:
    """Return something that looks like a key pair."""
    return KeyPair(public_key_der=name.encode(), private_key_pem=b"private")


async def waiting_task(pool: KeyPool, observer: Observer) -> asyncio.Task[KeyPair]:
    """Return a task that waits for a key pair already."""
    before = observer.waiters
    task = asyncio.create_task(pool.take())
    await observer.until(lambda: observer.waiters == before + 1)
    return task


# Real workers


@pytest.mark.usefixtures("late_workers")
async def test_keys_from_the_reserve_and_on_demand_are_all_distinct(pools: Pools) -> None:
    pool = await pools.open(reserve=4, workers=2)
    await pools.observer.until(lambda: pools.observer.level == 4)
    key_pairs = await asyncio.gather(*(pool.take() for _ in range(12)))
    assert len({pair.public_key_der for pair in key_pairs}) == 12
    assert len({pair.private_key_pem for pair in key_pairs}) == 12


@pytest.mark.usefixtures("late_workers")
async def test_burst_from_a_full_reserve_does_not_wait(pools: Pools) -> None:
    pool = await pools.open(reserve=4)
    await pools.observer.until(lambda: pools.observer.level == 4)
    await asyncio.gather(*(pool.take() for _ in range(4)))
    assert pools.observer.waits == [0.0] * 4


@pytest.mark.usefixtures("late_workers")
async def test_reserve_is_refilled_after_a_burst(pools: Pools) -> None:
    pool = await pools.open(reserve=3)
    await pools.observer.until(lambda: pools.observer.level == 3)
    await asyncio.gather(*(pool.take() for _ in range(3)))
    await pools.observer.until(lambda: pools.observer.level == 3)
    assert pool.level == 3


@pytest.mark.usefixtures("late_workers")
async def test_waiter_of_a_worker_killed_in_mid_generation_is_served(
    pools: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    pool = await pools.open()
    await pool.take()
    waiter = await waiting_task(pool, pools.observer)
    [child] = pool._children
    os.kill(child.pid, signal.SIGKILL)
    assert (await waiter).public_key_der
    assert f"key worker {child.pid} ended" in caplog.text


@pytest.mark.usefixtures("late_workers")
async def test_pool_without_reserve_generates_on_demand_and_keeps_nothing(pools: Pools) -> None:
    pool = await pools.open(reserve=0)
    assert (await pool.take()).public_key_der != (await pool.take()).public_key_der
    assert pool.level == 0


@pytest.mark.usefixtures("late_workers")
async def test_no_key_bytes_appear_in_repr_or_log(pools: Pools, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    pool = await pools.open(reserve=2)
    await pools.observer.until(lambda: pools.observer.level == 2)
    taken = await pool.take()
    secret = taken.private_key_pem.decode().splitlines()[1]
    shown = repr(pool) + repr(pool._reserve) + repr(pool._children) + caplog.text
    assert secret not in shown
    assert "PRIVATE KEY" not in shown
    assert "workers" in repr(pool)


@pytest.mark.usefixtures("late_workers")
async def test_fork_of_the_process_holds_no_key_and_cannot_take_one(pools: Pools) -> None:
    pool = await pools.open(reserve=2)
    await pools.observer.until(lambda: pools.observer.level == 2)
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; that someone forks all the same is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        outcome = 1
        try:
            pool.take().send(None)
        except ServiceUnavailable:
            outcome = 0 if pool.level == 0 else 2
        finally:
            os._exit(outcome)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert pool.level == 2
    await asyncio.gather(*(pool.take() for _ in range(3)))


# Order, cancellation, refusal


async def test_waiters_are_served_in_the_order_in_which_they_came(pools: Pools) -> None:
    pool = await pools.open(workers=2, command=program(ANSWERS_AT_ONCE))
    served: list[int] = []

    async def take(number: int) -> None:
        await pool.take()
        served.append(number)

    await asyncio.gather(*(take(number) for number in range(50)))
    assert served == list(range(50))


async def test_key_of_a_cancelled_waiter_goes_to_the_next(pools: Pools) -> None:
    pool = await pools.open(command=program(NEVER_ANSWERS))
    first, second = await waiting_task(pool, pools.observer), await waiting_task(pool, pools.observer)
    pool._accept(key_pair("the only one"))
    first.cancel()
    assert await second == key_pair("the only one")
    assert pools.observer.waiters == 0
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_key_of_a_cancelled_waiter_goes_to_the_reserve_if_nobody_waits(pools: Pools) -> None:
    pool = await pools.open(reserve=1, command=program(NEVER_ANSWERS))
    waiter = await waiting_task(pool, pools.observer)
    pool._accept(key_pair("the only one"))
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await pool.take() == key_pair("the only one")


async def test_cancelled_waiter_leaves_the_queue(pools: Pools) -> None:
    pool = await pools.open(command=program(NEVER_ANSWERS))
    first, second = await waiting_task(pool, pools.observer), await waiting_task(pool, pools.observer)
    first.cancel()
    # In the same turn: the cancelled waiter has not noticed yet.
    pool._accept(key_pair("for the second"))
    assert await second == key_pair("for the second")
    third = await waiting_task(pool, pools.observer)
    third.cancel()
    await asyncio.wait([first, third])
    assert pool.waiting == 0


async def test_cancelled_waiters_lose_no_key_under_load(pools: Pools) -> None:
    pool = await pools.open(reserve=8, workers=2, command=program(ANSWERS_DEMAND_ONLY))
    tasks = [asyncio.create_task(pool.take()) for _ in range(60)]
    for number, task in enumerate(tasks):
        await pools.observer.until(lambda: pools.observer.waiters < 50)
        if number % 3 == 0:
            task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    served = [outcome.public_key_der for outcome in outcomes if isinstance(outcome, KeyPair)]
    assert len(served) >= 40
    assert len(set(served)) == len(served)


async def test_waiter_over_the_bound_is_throttled_at_once_with_an_estimate(pools: Pools) -> None:
    pool = await pools.open(max_waiting=2, command=program(NEVER_ANSWERS))
    waiters = [await waiting_task(pool, pools.observer) for _ in range(2)]
    with pytest.raises(Throttled) as refusal:
        await pool.take()
    assert refusal.value.retry_after == pytest.approx(3 * pool_module.ASSUMED_SECONDS_PER_KEY)
    assert refusal.value.message == "Rate exceeded"
    for waiter in waiters:
        waiter.cancel()
    await asyncio.wait(waiters)


async def test_estimate_follows_the_measured_rate(pools: Pools) -> None:
    pool = await pools.open(command=program(ANSWERS_AT_ONCE))
    for _ in range(3):
        await asyncio.gather(*(pool.take() for _ in range(100)))
    assert pool._seconds_per_key < pool_module.ASSUMED_SECONDS_PER_KEY


async def test_no_more_is_asked_of_a_worker_than_waiters_need(pools: Pools) -> None:
    pool = await pools.open(workers=2, command=program(NEVER_ANSWERS))
    tasks = [await waiting_task(pool, pools.observer)]
    assert sorted(child.demand.owed for child in pool._children) == [0, 1]
    tasks += [await waiting_task(pool, pools.observer) for _ in range(9)]
    assert sorted(child.demand.owed for child in pool._children) == [2, 2]
    assert all(child.idle.owed == 0 for child in pool._children)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_refill_begins_at_the_low_water_mark(pools: Pools) -> None:
    pool = await pools.open(reserve=16, command=program(ANSWERS_AT_ONCE))
    await pools.observer.until(lambda: pools.observer.level == 16)
    refilling = []
    for _ in range(2):
        await pool.take()
        refilling.append(pool._refilling)
    assert refilling == [False, True]
    await pools.observer.until(lambda: pools.observer.level == 16)


async def test_waiter_gets_the_key_that_the_idle_channel_finishes(pools: Pools) -> None:
    pool = await pools.open(reserve=4, command=program(IDLE_LANE_ANSWERS_ONLY))
    assert (await asyncio.gather(*(pool.take() for _ in range(8))))[7].public_key_der


# Failures


async def test_request_that_meets_a_dead_worker_is_served_by_its_successor(pools: Pools) -> None:
    pool = await pools.open(command=program(ANSWERS_AT_ONCE))
    first = await pool.take()
    [child] = pool._children
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)  # noqa: ASYNC222 - the loop must not learn of the death before the request
    second = await pool.take()
    assert first.public_key_der.split()[-1] != second.public_key_der.split()[-1]


async def test_channel_that_is_readable_without_bytes_is_left_alone(pools: Pools) -> None:
    pool = await pools.open(command=program(ANSWERS_AT_ONCE))
    [child] = pool._children
    child.demand._receive()
    assert not child.gone.done()


@pytest.mark.parametrize("text", [FAILS, SENDS_NONSENSE, ENDS_AT_ONCE, NEVER_ANSWERS])
@pytest.mark.usefixtures("short_ticks")
async def test_waiter_hears_that_no_worker_can_make_a_key(pools: Pools, text: str) -> None:
    pool = await pools.open(command=program(text))
    with pytest.raises(ServiceUnavailable):
        await pool.take()
    assert pool.waiting == 0


@pytest.mark.usefixtures("short_ticks")
async def test_waiter_hears_that_no_worker_can_be_started(pools: Pools, caplog: pytest.LogCaptureFixture) -> None:
    pool = await pools.open(command=("/nonexistent/worker",))
    assert not pool._children
    with pytest.raises(ServiceUnavailable):
        await pool.take()
    assert "a key worker cannot be started" in caplog.text


async def test_failure_is_logged_by_its_name(pools: Pools, caplog: pytest.LogCaptureFixture) -> None:
    pool = await pools.open(command=program(FAILS))
    waiter = await waiting_task(pool, pools.observer)
    [child] = pool._children
    assert await asyncio.shield(child.gone) == f"{FrameBroken.__name__}: WeakKey"
    waiter.cancel()
    await asyncio.wait([waiter])


async def test_worker_that_has_stopped_answering_is_replaced(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "UNAVAILABLE_TICKS", 1_000_000)
    pool = await pools.open(command=program(ANSWERS_AT_ONCE))
    await pool.take()
    [child] = pool._children
    os.kill(child.pid, signal.SIGSTOP)
    waiter = await waiting_task(pool, pools.observer)
    # Short for the stopped worker alone: its successor takes long to start on a crowded machine.
    with monkeypatch.context() as hurry:
        hurry.setattr(pool_module, "TICK", 0.02)
        assert await asyncio.shield(child.gone) == "it has stopped answering"
    assert (await waiter).public_key_der


@pytest.mark.usefixtures("short_ticks")
async def test_worker_that_takes_long_to_start_is_not_replaced(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "STARTING_TICKS", 1_000_000)
    # Many times as long as a worker may be silent that has delivered keys, and as callers wait for it.
    pool = await pools.open(command=program("time.sleep(1)\n" + ANSWERS_AT_ONCE))
    [child] = pool._children
    assert str(child.pid).encode() in (await pool.take()).public_key_der


@pytest.mark.usefixtures("short_ticks")
async def test_worker_that_never_starts_is_replaced_and_its_callers_are_refused(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "STARTING_TICKS", 10)
    pool = await pools.open(command=program(NEVER_ANSWERS))
    [child] = pool._children
    with pytest.raises(ServiceUnavailable):
        await pool.take()
    assert await asyncio.shield(child.gone) == "it has stopped answering"


async def test_pool_that_is_not_started_or_is_closed_refuses(pools: Pools) -> None:
    never_started = KeyPool(0, 1, 1, pools.observer)
    with pytest.raises(ServiceUnavailable):
        await never_started.take()
    pool = await pools.open(reserve=1, command=program(ANSWERS_AT_ONCE))
    await pools.observer.until(lambda: pools.observer.level == 1)
    await pool.close()
    with pytest.raises(ServiceUnavailable):
        await pool.take()
    assert pool.level == 0
    assert not pool._children


async def test_close_refuses_waiters_and_ends_the_workers(pools: Pools) -> None:
    pool = await pools.open(workers=2, command=program(NEVER_ANSWERS))
    waiter = await waiting_task(pool, pools.observer)
    pids = [child.pid for child in pool._children]
    await pool.close()
    with pytest.raises(ServiceUnavailable):
        await waiter
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_key_that_comes_back_after_the_close_is_forgotten(pools: Pools) -> None:
    pool = await pools.open(reserve=1, command=program(NEVER_ANSWERS))
    waiter = await waiting_task(pool, pools.observer)
    pool._accept(key_pair("late"))
    waiter.cancel()
    # Until its first real wait, the close runs before the cancelled task does.
    await pool.close()
    await asyncio.wait([waiter])
    assert pool.level == 0


async def test_waiter_cancelled_while_it_is_refused_is_quiet(pools: Pools) -> None:
    pool = await pools.open(command=program(NEVER_ANSWERS))
    waiter = await waiting_task(pool, pools.observer)
    pool._refuse_waiters()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_close_returns_although_a_worker_is_dead_and_reaped_by_another(pools: Pools) -> None:
    pool = await pools.open(workers=2, command=program(NEVER_ANSWERS))
    child, other = pool._children
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)  # noqa: ASYNC222 - the loop must not learn of the death before the close
    os.kill(other.pid, signal.SIGKILL)
    await pool.close()
    assert not pool._unreaped


async def test_close_does_not_wait_for_ever_for_a_worker_that_does_not_end(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "REAP_WITHIN", 0.0)
    pool = await pools.open(command=program(NEVER_ANSWERS))
    [child] = pool._children
    with monkeypatch.context() as never_ends:
        never_ends.setattr(child._popen, "poll", lambda: None)
        await pool.close()
    assert child in pool._unreaped
    monkeypatch.setattr(pool_module, "REAP_WITHIN", 2.0)
    await pool.close()
    assert not pool._unreaped


async def test_close_twice_is_once(pools: Pools) -> None:
    pool = await pools.open(command=program(ANSWERS_AT_ONCE))
    await pool.close()
    await pool.close()
    assert not pool._children


# The reserve


def test_oldest_key_is_taken_first_and_once() -> None:
    reserve = Reserve(3, Hands().clocks(), no_twin_expected)
    for name in "abc":
        reserve.put(key_pair(name))
    assert [reserve.take() for _ in range(4)] == [key_pair("a"), key_pair("b"), key_pair("c"), None]


def test_full_reserve_forgets_what_does_not_fit() -> None:
    reserve = Reserve(1, Hands().clocks(), no_twin_expected)
    reserve.put(key_pair("a"))
    reserve.put(key_pair("b"))
    assert (reserve.take(), reserve.take()) == (key_pair("a"), None)


def test_keys_expire_one_by_one() -> None:
    hands = Hands()
    reserve = Reserve(2, hands.clocks(), no_twin_expected)
    reserve.put(key_pair("old"))
    hands.advance(MAX_AGE / 2)
    reserve.put(key_pair("young"))
    hands.advance(MAX_AGE / 2 + 1)
    assert reserve.take() == key_pair("young")


@pytest.mark.parametrize("jump", [-400 * 86400.0, -1.5, 1.5, 30 * 365 * 86400.0])
def test_clock_jump_empties_the_reserve_and_new_keys_are_kept(jump: float) -> None:
    hands, twins = Hands(), Twins()
    reserve = Reserve(2, hands.clocks(), twins.count)
    reserve.put(key_pair("before"))
    hands.wall += jump
    assert reserve.take() is None
    assert twins.counted == 1
    reserve.put(key_pair("after"))
    assert reserve.take() == key_pair("after")


def test_slow_drift_of_the_clock_is_no_jump() -> None:
    hands = Hands()
    reserve = Reserve(1, hands.clocks(), no_twin_expected)
    reserve.put(key_pair("kept"))
    for _ in range(3):
        hands.wall += 0.9
        reserve.drop_unusable()
    assert reserve.take() == key_pair("kept")


def test_changed_boot_id_empties_the_reserve() -> None:
    hands, twins = Hands(), Twins()
    reserve = Reserve(1, hands.clocks(), twins.count)
    reserve.put(key_pair("before"))
    hands.boot_id = "the twin's boot"
    assert reserve.take() is None
    assert twins.counted == 1


def test_changed_pid_empties_the_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = Twins()
    reserve = Reserve(1, Hands().clocks(), twins.count)
    reserve.put(key_pair("the parent's"))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert reserve.take() is None
    assert twins.counted == 1


@pytest.mark.usefixtures("short_ticks")
async def test_expired_reserve_is_filled_again_without_a_request(pools: Pools) -> None:
    hands = Hands()
    pool = await pools.open(reserve=2, command=program(ANSWERS_AT_ONCE), clocks=hands.clocks())
    await pools.observer.until(lambda: pools.observer.level == 2)
    hands.advance(MAX_AGE + 1)
    await pools.observer.until(lambda: pools.observer.level < 2)
    await pools.observer.until(lambda: pools.observer.level == 2)
    assert {(await pool.take()).public_key_der[:1] for _ in range(2)} == {b"3", b"4"}


async def test_key_of_a_worker_that_may_have_been_copied_reaches_nobody(
    pools: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    hands = Hands()
    pool = await pools.open(reserve=1, command=program(NEVER_ANSWERS), clocks=hands.clocks())
    waiter = await waiting_task(pool, pools.observer)
    [child] = pool._children
    hands.wall += 60.0
    pool._accept(key_pair("made by the twin as well"))
    assert await asyncio.shield(child.gone) == "its random state may have been copied"
    pool._accept(key_pair("made afterwards"))
    assert await waiter == key_pair("made afterwards")
    assert pool.level == 0


@pytest.mark.usefixtures("short_ticks")
async def test_idle_pool_notices_a_clock_jump(pools: Pools) -> None:
    hands = Hands()
    pool = await pools.open(reserve=2, command=program(ANSWERS_AT_ONCE), clocks=hands.clocks())
    await pools.observer.until(lambda: pools.observer.level == 2)
    before = (await pool.take()).public_key_der
    hands.wall -= 60.0
    await pools.observer.until(lambda: pools.observer.level == 0)
    await pools.observer.until(lambda: pools.observer.level == 2)
    after = (await pool.take()).public_key_der
    assert before.split()[-1] != after.split()[-1]


def test_boot_that_cannot_be_named_for_want_of_descriptors_is_no_other_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    hands = Hands()
    with_real_boot = replace(hands.clocks(), boot_id=read_boot_id)
    reserve = Reserve(1, with_real_boot, no_twin_expected)
    reserve.put(key_pair("a"))
    with monkeypatch.context() as exhausted:
        exhausted.setattr(os, "open", refuse)
        assert read_boot_id() is None
        assert reserve.take() == key_pair("a")


def test_boot_id_is_empty_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thingmint.keys.reserve._BOOT_ID", "/nonexistent")
    assert read_boot_id() == ""


# What a worker is given


def test_worker_gets_no_setting_and_no_secret_of_the_service() -> None:
    environment = {
        "PATH": "/bin",
        "PYTHONPATH": "/srv",
        "THINGMINT_ROOT_SECRET_ACCESS_KEY": "secret",
        "THINGMINT_DATABASE_URL": "postgresql://u:secret@h/d",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "PGPASSWORD": "secret",
    }
    assert worker_environment(environment) == {"PATH": "/bin", "PYTHONPATH": "/srv", **WIPING_ENVIRONMENT}
