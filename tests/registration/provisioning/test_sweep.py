"""What has ended is swept in batches, again and again, whatever the database does in between."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, new_authority
from tests.support.registration.fleet import FLEET, OPERATOR, create_template, waiting_certificate

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
