"""The key pool with builds of thingmint-ifma that fail on purpose: no bad key leaves, and OpenSSL takes over."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.keys.test_key_pool import ANSWERS_AT_ONCE, NEVER_ANSWERS, Observer, program
from tests.support.certificates.ifma import failing, require_ifma

from thingmint.core.errors import ServiceUnavailable
from thingmint.keys import pool as pool_module
from thingmint.keys.child import Child
from thingmint.keys.engines import run_self_test
from thingmint.keys.generators import Engine
from thingmint.keys.pool import KeyPool

# The self-test makes about 70 calls, the rounds of a deep prime most of them; a key pair takes about 12.
IN_THE_SELF_TEST, LATER = 0, 160
Build = Callable[[str, int], Path]


@pytest.fixture
def build(faulty_package: Path, tmp_path: Path) -> Build:
    """Return a function that returns where the package with a fault is."""
    return lambda fault, after: failing(faulty_package, fault, after, tmp_path)


@pytest.fixture(autouse=True)
def patient_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers be late, which they are on a crowded machine although nothing is wrong with them."""
    for ticks in ("STUCK_TICKS", "STARTING_TICKS", "UNAVAILABLE_TICKS"):
        monkeypatch.setattr(pool_module, ticks, 1_000_000)


@contextlib.asynccontextmanager
async def opened(observer: Observer, reserve: int = 0, workers: int = 1) -> AsyncIterator[KeyPool]:
    """Yield a started pool that uses thingmint-ifma."""
    pool = KeyPool(reserve, workers, 128, observer, engine=Engine.IFMA)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def take_until_openssl(pool: KeyPool, most: int = 1_000) -> list[bytes]:
    """Return the private keys that the pool hands out until OpenSSL makes them, and two of OpenSSL's."""
    taken: list[bytes] = []
    while pool.engine is Engine.IFMA:
        assert len(taken) < most
        taken.append((await pool.take()).private_key_pem)
    return taken + [(await pool.take()).private_key_pem for _ in range(2)]


def assert_sound(private_keys: list[bytes]) -> None:
    """Fail unless OpenSSL's full validation accepts each key, and each is there once."""
    assert len(set(private_keys)) == len(private_keys)
    for private_key in private_keys:
        load_pem_private_key(private_key, None)


@pytest.mark.parametrize(
    ("fault", "after", "reason"),
    [
        ("everything is prime", IN_THE_SELF_TEST, "SelfTestFailed"),
        ("a wrong bit in one lane", IN_THE_SELF_TEST, "SelfTestFailed"),
        ("an error", IN_THE_SELF_TEST, "SelfTestFailed"),
        ("a crash", IN_THE_SELF_TEST, ""),
        ("an exit", IN_THE_SELF_TEST, ""),
        ("everything is prime", LATER, "DefectiveKeyPair"),
        ("an error", LATER, "RuntimeError"),
        ("a crash", LATER, ""),
        ("an abort", LATER, ""),
    ],
)
async def test_fault_of_the_library_turns_the_engine_off_and_no_bad_key_leaves(
    build: Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str, after: int, reason: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(build(fault, after)))
    observer = Observer()
    async with opened(observer) as pool:
        assert observer.engine == "ifma"
        private_keys = await take_until_openssl(pool)
        assert (observer.engine, observer.faults) == ("openssl", 1)
    assert_sound(private_keys)
    assert "key engine ifma is disabled" in caplog.text
    assert reason in caplog.text
    assert "PRIVATE KEY" not in caplog.text


async def test_lane_that_computes_wrongly_later_loses_candidates_and_yields_no_bad_key(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A prime whose power is wrong is taken for a composite: it is lost, as nearly all candidates are.
    monkeypatch.setenv("PYTHONPATH", str(build("a wrong bit in one lane", LATER)))
    async with opened(Observer()) as pool:
        private_keys = [(await pool.take()).private_key_pem for _ in range(30)]
    assert_sound(private_keys)


async def test_engine_whose_self_test_never_ends_is_turned_off(
    build: Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(build("no end", IN_THE_SELF_TEST)))
    observer = Observer()
    async with opened(observer) as pool:
        private_keys = await take_until_openssl(pool)
    assert observer.faults == 1
    assert_sound(private_keys)
    assert "key engine ifma is disabled" in caplog.text


async def test_worker_that_is_late_is_no_fault_of_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "TICK", 0.02)
    monkeypatch.setattr(pool_module, "STARTING_TICKS", 5)
    observer = Observer()
    pool = KeyPool(0, 1, 128, observer, command=program(NEVER_ANSWERS), engine=Engine.IFMA)
    await pool.start()
    try:
        with pytest.raises(ServiceUnavailable):
            await pool.take()
        assert (pool.engine, observer.faults) == (Engine.IFMA, 0)
    finally:
        await pool.close()


async def test_fault_of_one_worker_empties_the_reserve_and_replaces_every_worker(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(build("everything is prime", LATER)))
    observer = Observer()
    async with opened(observer, reserve=8, workers=2) as pool:
        first = {child.pid for child in pool._children}
        private_keys = await take_until_openssl(pool)
        await observer.until(lambda: observer.level == 8 and len(pool._children) == 2)
        assert not first & {child.pid for child in pool._children}
        assert observer.faults == 1
        private_keys += [(await pool.take()).private_key_pem for _ in range(8)]
    assert_sound(private_keys)


async def test_package_that_cannot_be_loaded_turns_the_engine_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "thingmint_ifma.py").write_text("raise ImportError('libcrypto_mb is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    observer = Observer()
    async with opened(observer) as pool:
        assert_sound(await take_until_openssl(pool))
    assert observer.faults == 1
    assert "ImportError" in caplog.text


@pytest.mark.parametrize("text", [ANSWERS_AT_ONCE, NEVER_ANSWERS])
async def test_worker_that_somebody_kills_is_replaced_by_one_with_the_same_engine(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    observer, restarted = Observer(), asyncio.Event()
    pool = KeyPool(0, 1, 128, observer, command=program(text), engine=Engine.IFMA)
    spawn = pool._spawn

    def spawn_and_tell() -> Child | None:
        restarted.set()
        return spawn()

    await pool.start()
    try:
        monkeypatch.setattr(pool, "_spawn", spawn_and_tell)
        [child] = pool._children
        os.kill(child.pid, signal.SIGKILL)
        await restarted.wait()
        assert pool.engine is Engine.IFMA
        assert observer.faults == 0
    finally:
        await pool.close()


async def test_keys_of_the_engine_are_sound_and_distinct_on_both_channels() -> None:
    require_ifma()
    observer = Observer()
    async with opened(observer, reserve=8, workers=2) as pool:
        await observer.until(lambda: observer.level == 8)
        private_keys = [pair.private_key_pem for pair in await asyncio.gather(*(pool.take() for _ in range(40)))]
        assert pool.engine is Engine.IFMA
    assert_sound(private_keys)
    assert all(pem.startswith(b"-----BEGIN RSA PRIVATE KEY-----\n") for pem in private_keys)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("a crash", "the self-test crashed with signal 4"),
        ("an exit", "the self-test ended with 3"),
        ("everything is prime", "the self-test failed: an exponentiation differs from Python's"),
        ("an error", "the self-test failed: the library reports an error in an exponentiation"),
    ],
)
def test_self_test_in_its_own_process_says_what_is_wrong(
    build: Build, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(build(fault, IN_THE_SELF_TEST)))
    assert run_self_test() == (False, said)
