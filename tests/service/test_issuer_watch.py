"""A node follows the issuers of the database, keeps what it has where it cannot, and warns before an issuer ends."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs
from tests.support.clients.signing import SettableClock
from tests.support.registration.authority import OneKey
from tests.support.services.recorded_log import RecordedLog

from thingmint.cli.doctor import findings_of
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.issuer import IssuerStatus, KeyPlace
from thingmint.host.telemetry import Metrics
from thingmint.records import issuers as issuer_table
from thingmint.records.steps import Steps
from thingmint.registration.issuers.issuers import list_issuers
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.service import new_issuers
from thingmint.service.authority import registration_authority
from thingmint.service.issuer_watch import IssuerWatch
from thingmint.service.new_issuers import WantedIssuer
from thingmint.service.opening import Registry, open_registry
from thingmint.settings.config import load_config


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with open_registry(load_config({"data_dir": str(tmp_path / "data")}, {})) as opened:
        yield opened


@pytest.fixture
def authority(registry: Registry) -> RegistrationAuthority:
    return registration_authority(registry, OneKey())


async def test_another_active_issuer_is_used_and_trusted_from_the_next_turn_on(
    registry: Registry, authority: RegistrationAuthority
) -> None:
    log, trusted = RecordedLog(), registry.config.data_dir / "device-ca.pem"
    watch = IssuerWatch(registry, authority, Metrics("0"), log)
    await watch.turn()
    first = authority.issuers.active.ca.issuer_id
    rotated = await new_issuers.rotate(registry, WantedIssuer("ecdsa-p384", profile={"validity_days": 30}))
    assert authority.issuers.active.ca.issuer_id == first
    await watch.turn()
    assert authority.issuers.active.ca.issuer_id == rotated.issuer_id
    assert authority.issuers.active.profile.valid_for == timedelta(days=30)
    assert [ca.issuer_id for ca in authority.issuers] == [rotated.issuer_id, first]
    assert trusted.read_text().count("BEGIN CERTIFICATE") == 3
    assert [event for _, event, _ in log.lines if "another issuer is active" in event]
    # Nothing is written again while nothing changes.
    before = trusted.stat().st_mtime_ns
    await watch.turn()
    assert trusted.stat().st_mtime_ns == before
    watch.check()


async def test_an_issuer_that_cannot_be_used_here_makes_the_node_unready_until_it_can(
    registry: Registry, authority: RegistrationAuthority
) -> None:
    log = RecordedLog()
    watch = IssuerWatch(registry, authority, Metrics("0"), log)
    await watch.turn()
    first = authority.issuers.active.ca.issuer_id
    await new_issuers.rotate(registry, WantedIssuer("ecdsa-p256"))
    active = (await list_issuers(registry.store))[1]

    def store(sealed: bytes | None) -> Steps[bool]:
        return issuer_table.update_issuer(active, replace(active, sealed_key=sealed))

    await registry.store.write(lambda: store(b"\x01damaged"))
    for _ in range(2):
        await watch.turn()
        with pytest.raises(ServiceUnavailable):
            watch.check()
    assert authority.issuers.active.ca.issuer_id == first
    assert [level for level, event, _ in log.lines if "cannot be used here" in event] == ["error"]
    # When it can be used, it is, although nothing else has changed.
    await registry.store.write(lambda: store(active.sealed_key))
    await watch.turn()
    watch.check()
    assert authority.issuers.active.ca.issuer_id == active.issuer_id


async def test_each_share_of_life_that_is_reached_is_warned_of_once(
    registry: Registry, authority: RegistrationAuthority
) -> None:
    ca = authority.issuers.active.ca
    life = ca.not_after - ca.not_before
    clock, log, metrics = SettableClock(ca.not_before), RecordedLog(), Metrics("0")

    def at(left: float) -> datetime:
        return ca.not_after - life * left

    # A clock of the machine in everything but that a test sets it.
    watch = IssuerWatch(structs.replace(registry, clock=clock), authority, metrics, log)
    expected = []
    for left, kind in ((0.5, None), (0.26, None), (0.24, "warning"), (0.2, None), (0.09, "warning"), (0.04, "error")):
        clock.at = at(left)
        for _ in range(2):
            await watch.turn()
        expected += [] if kind is None else [kind]
        assert [level for level, event, _ in log.lines if "of its life left" in event] == expected
        label = f'thingmint_issuer_life_left{{issuer="{ca.issuer_id}",status="ACTIVE"}} '
        shown = next(line for line in metrics.render().decode().splitlines() if line.startswith(label))
        assert float(shown.removeprefix(label)) == pytest.approx(left, abs=0.001)


async def test_a_full_disk_is_tried_again(registry: Registry, authority: RegistrationAuthority) -> None:
    log, data_dir = RecordedLog(), registry.config.data_dir
    watch = IssuerWatch(registry, authority, Metrics("0"), log)
    rotated = await new_issuers.rotate(registry, WantedIssuer("ecdsa-p256"))
    trusted = data_dir / "device-ca.pem"
    whole = trusted.read_bytes()
    trusted.unlink()
    # A folder in its place cannot be replaced by a file, whoever runs this.
    trusted.mkdir()
    await watch.turn()
    assert authority.issuers.active.ca.issuer_id != rotated.issuer_id
    assert [event for level, event, _ in log.lines if level == "error" and "cannot be written" in event]
    trusted.rmdir()
    await watch.turn()
    assert authority.issuers.active.ca.issuer_id == rotated.issuer_id
    assert trusted.read_bytes() != whole


async def test_a_destroyed_key_is_deleted_from_the_files_of_the_node(
    registry: Registry, authority: RegistrationAuthority
) -> None:
    watch = IssuerWatch(registry, authority, Metrics("0"), RecordedLog())
    await new_issuers.rotate(registry, WantedIssuer("ecdsa-p256"))
    first = (await list_issuers(registry.store))[0]
    assert (first.status, first.key_place) == (IssuerStatus.RETIRED, KeyPlace.FILES)
    key = registry.config.data_dir / "keys" / "issuing-ca.key"
    assert key.exists()
    after = replace(first, key_place=KeyPlace.DESTROYED)
    await registry.store.write(lambda: issuer_table.update_issuer(first, after))
    await watch.turn()
    assert not key.exists()
    assert [ca.signer is None for ca in authority.issuers] == [False, True]
    # The next start finds the same issuers.
    async with open_registry(registry.config) as again:
        assert [each.ca.issuer_id for each in again.issuers] == [ca.issuer_id for ca in authority.issuers]
        assert again.authorities.own_issuer is None


async def test_an_issuer_that_has_ended_leaves_the_trusted_ones_while_the_service_runs(
    registry: Registry, authority: RegistrationAuthority
) -> None:
    clock, trusted = SettableClock(registry.clock.now()), registry.config.data_dir / "device-ca.pem"
    # A clock of the machine in everything but that a test sets it.
    set_here = structs.replace(registry, clock=clock)
    watch = IssuerWatch(set_here, authority, Metrics("0"), RecordedLog())
    profile: dict[str, object] = {"validity_days": 7}
    short = WantedIssuer("ecdsa-p256", end=clock.at + timedelta(days=30), profile=profile)
    await new_issuers.rotate(registry, short)
    await new_issuers.rotate(registry, WantedIssuer("ecdsa-p256"))
    for days, count in ((29, 4), (31, 3), (29, 4)):
        clock.at = registry.clock.now() + timedelta(days=days)
        await watch.turn()
        assert trusted.read_text().count("BEGIN CERTIFICATE") == count


async def test_a_retired_issuer_whose_key_is_missing_is_told_of_once(tmp_path: Path) -> None:
    config = load_config({"data_dir": str(tmp_path / "data")}, {})
    async with open_registry(config) as opened:
        await new_issuers.rotate(opened, WantedIssuer("ecdsa-p256"))
        first, second = await list_issuers(opened.store)
        lost = replace(first, key_place=KeyPlace.DATABASE, sealed_key=None)
        await opened.store.write(lambda: issuer_table.update_issuer(first, lost))
        log, metrics = RecordedLog(), Metrics("0")
        watch = IssuerWatch(opened, registration_authority(opened, OneKey()), metrics, log)
        for _ in range(2):
            await watch.turn()
        told = [
            f"{event} {fields}" for level, event, fields in log.lines if level == "warning" and "is missing" in event
        ]
        assert len(told) == 1
        assert str(first.issuer_id) in told[0]
        assert "thingmint_issuers_without_key 1.0" in metrics.render().decode()
        assert watch.known.keyless(watch.known.others[0].ca.not_after + timedelta(days=1)) == ()
        assert second.status is IssuerStatus.ACTIVE
    findings = await asyncio.to_thread(lambda: [each.text for each in findings_of(config)])
    assert [each for each in findings if f"the key of the retired issuer {first.issuer_id} is missing" in each]
