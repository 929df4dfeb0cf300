"""The server's certificate is replaced in time, and never by one that a wrong clock has dated."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.clients.signing import SettableClock
from tests.support.devices.device_identities import rsa_key
from tests.support.services.recorded_log import RecordedLog

from thingmint.data_directory.authorities import AuthorityFiles
from thingmint.data_directory.files import make_directory
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.service.opening import serial_numbers
from thingmint.service.readiness import ClockWatch
from thingmint.service.server_identity import Rotation, ServerIdentities, ServerIdentity

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@dataclass
class Bench:
    """A rotation, what it has put into use, and what it has logged."""

    rotation: Rotation
    used: list[ServerIdentity]
    log: RecordedLog


@pytest.fixture
def bench(tmp_path: Path, clock: SettableClock) -> Bench:
    make_directory(tmp_path / "data")
    authorities = AuthorityFiles(tmp_path / "data", None, "ecdsa-p256", serial_numbers, clock.now, True).open()
    identities = ServerIdentities(authorities, ["localhost"], serial_numbers, clock.now, tmp_path / "data")
    assert authorities.own_issuer is not None
    issuing_ca = IssuingCA(authorities.own_issuer.certificate, None)
    log, used = RecordedLog(), list[ServerIdentity]()
    watch = ClockWatch(clock.now, lambda: issuing_ca, RecordedLog())
    return Bench(Rotation(identities, identities.create(rsa_key()), watch.check, used.append, log), used, log)


async def test_a_certificate_is_replaced_before_its_end(bench: Bench, clock: SettableClock) -> None:
    first = bench.rotation.identity.certificate
    await bench.rotation.turn()
    assert bench.used == []
    clock.at = first.not_valid_after_utc - timedelta(days=1)
    await bench.rotation.turn()
    await bench.rotation.turn()
    assert [each.certificate.not_valid_after_utc > first.not_valid_after_utc for each in bench.used] == [True]
    assert [event for _, event, _ in bench.log.lines] == ["server certificate replaced"]


async def test_a_wrong_clock_replaces_nothing_and_a_right_one_what_it_has_dated(
    bench: Bench, clock: SettableClock
) -> None:
    clock.at = NOW - timedelta(days=400)
    await bench.rotation.turn()
    assert bench.used == []
    # A service that was started with the wrong clock has a certificate of that time.
    bench.rotation.identity = bench.rotation.identities.create(rsa_key())
    clock.at = NOW
    await bench.rotation.turn()
    [used] = bench.used
    assert used.certificate.not_valid_before_utc <= NOW <= used.certificate.not_valid_after_utc


async def test_a_disk_that_refuses_keeps_the_certificate(bench: Bench, clock: SettableClock, tmp_path: Path) -> None:
    first = bench.rotation.identity
    clock.at = first.certificate.not_valid_after_utc - timedelta(days=1)
    certificates = tmp_path / "data" / "certificates"
    certificates.rename(tmp_path / "away")
    await bench.rotation.turn()
    assert bench.rotation.identity is first
    assert bench.used == []
    assert [event for _, event, _ in bench.log.lines] == ["server certificate cannot be replaced"]
    (tmp_path / "away").rename(certificates)
    await bench.rotation.turn()
    assert len(bench.used) == 1
