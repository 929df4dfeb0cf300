"""What has ended is swept in batches, again and again, whatever the database does in between."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.support.certificates.revocation import BEGIN, new_registry
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, new_authority
from tests.support.registration.fleet import FLEET, OPERATOR, create_template, waiting_certificate

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ServiceUnavailable
from thingmint.registration.provisioning import claims, sweep


async def test_everything_that_has_ended_goes_and_the_sweep_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_BATCH", 2)
    store, clock = MemoryStore(), SettableClock(NOW)
    authority = replace(new_authority(store), clock=clock)
    await create_template(authority)
    for _ in range(3):
        await waiting_certificate(authority)
        await claims.create_claim(authority, OPERATOR, FLEET)
    clock.at = NOW + timedelta(hours=2)
    store.refuse_with = ServiceUnavailable()
    sweeping = asyncio.create_task(sweep.sweep(authority, pause_seconds=0))
    for _ in range(5):
        await asyncio.sleep(0)
    store.refuse_with = None
    while True:
        if not (store.tables.certificates or store.tables.rows("claim_certificate")):
            break
        await asyncio.sleep(0)
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping


async def test_a_node_whose_clock_is_wrong_sweeps_nothing() -> None:
    store, asked = MemoryStore(), list[None]()

    def require_right_clock() -> None:
        asked.append(None)
        raise ServiceUnavailable("The clock is wrong")

    right = new_authority(store)
    await create_template(right)
    await waiting_certificate(right)
    await claims.create_claim(right, OPERATOR, FLEET)
    before = store.tables.dump()
    late = SettableClock(NOW + timedelta(hours=2))
    wrong = replace(right, clock=late, require_right_clock=require_right_clock)
    sweeping = asyncio.create_task(sweep.sweep(wrong, pause_seconds=0))
    while len(asked) < 3:  # noqa: ASYNC110  a list sets no event
        await asyncio.sleep(0)
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    assert store.tables.dump() == before


class Hours:
    """A clock and the seconds since the start, which agree until the clock is set."""

    def __init__(self) -> None:
        self.clock = SettableClock(BEGIN)
        self.elapsed = 0.0

    def go(self, hours: float) -> None:
        """Let time pass."""
        self.elapsed += 3600 * hours
        self.clock.at += timedelta(hours=hours)

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self.elapsed


async def test_revocations_are_swept_only_by_a_clock_that_was_steady_for_a_day() -> None:
    hours, store = Hours(), MemoryStore()
    registry = new_registry(store)
    await registry.add(5, status=CertificateStatus.REVOKED, ends_in=timedelta(days=1))
    # The newest row always stays.
    await registry.add(6, status=CertificateStatus.REVOKED)
    authority = replace(registry.authority, clock=hours.clock)
    sweeping = asyncio.create_task(sweep.sweep(authority, pause_seconds=0, monotonic=hours.monotonic))

    async def revocations() -> int:
        for _ in range(50):
            await asyncio.sleep(0)
        return len(store.tables.rows("revocation"))

    for ahead in (timedelta(days=40), timedelta(days=365 * 40)):
        hours.clock.at += ahead
        assert await revocations() == 2
    # An issuer that has ended, or a clock that is ahead of the issuer's end.
    hours.go(25)
    assert await revocations() == 2
    hours.clock.at = BEGIN + timedelta(days=40)
    for passing in (0, 23):
        hours.go(passing)
        assert await revocations() == 2
    hours.go(1)
    assert await revocations() == 1
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
