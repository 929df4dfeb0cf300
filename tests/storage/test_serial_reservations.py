"""Reserved serial numbers on both engines: durable before the signature, used by one transaction, never given twice."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.certificates.signers import SigningProcess, authority_with, signing_process
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.signing import SettableClock
from tests.support.databases.database import tables_of
from tests.support.databases.stores import insert, sample_certificate
from tests.support.registration.authority import NOW, caller_with

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.core.paging import PageRequest
from thingmint.records import audit as audit_table
from thingmint.records.certificates import serial_reservations
from thingmint.records.certificates.serial_reservations import SerialReservation
from thingmint.records.statement import rows_of
from thingmint.registration.certificates import certificates
from thingmint.registration.certificates.serial_numbers import ABANDONED_AFTER, sweep_serial_reservations
from thingmint.registration.kernel.ports import Store
from thingmint.storage import open_store

CALLER = caller_with()
CSR = csr_pem("p-256")
RESERVATION = SerialReservation("ab" * 32, SerialNumber(1 << 100), CALLER.scope)
LATER = NOW + timedelta(seconds=1)
ROUNDS = 20

# Reserves, and is killed while the signature is awaited.
_ISSUING = """
import asyncio, sys
from pathlib import Path
from tests.support.registration.authority import caller_with
from tests.support.certificates.signers import authority_with, signing_process
from thingmint.core.paging import PageRequest
from thingmint.records.statement import rows_of
from thingmint.registration.certificates import certificates
from thingmint.storage import open_store

async def issue(url, directory, csr):
    with signing_process() as signer:
        async def tell(content, algorithm):
            print("the signer is asked", flush=True)
            await asyncio.Event().wait()

        signer.sign = tell
        store = await open_store(url or None, Path(directory), observe=lambda kind, seconds: None)
        await certificates.issue_from_csr(authority_with(signer, store), caller_with(), csr, active=True)

asyncio.run(issue(*sys.argv[1:]))
"""


async def reserve(store: Store, reservation: SerialReservation) -> bool:
    """Reserve in a transaction of its own; return whether that was possible."""
    return await store.write(lambda: serial_reservations.reserve(reservation, NOW))


async def use(store: Store, reservation: SerialReservation) -> bool:
    """Use in a transaction of its own; return whether that was possible."""
    return await store.write(lambda: serial_reservations.use(reservation))


async def abandon(store: Store, reservation: SerialReservation) -> bool:
    """Abandon in a transaction of its own; return whether that was possible."""
    return await store.write(lambda: serial_reservations.abandon(reservation, NOW))


async def abandon_unused(store: Store, before: datetime, limit: int = 9) -> list[SerialReservation]:
    """Abandon in a transaction of its own what was reserved before a time; return it."""
    return list(await store.write(lambda: serial_reservations.abandon_unused(before, NOW, limit)))


def kill_while_signing(database_url: str | None, directory: Path) -> None:
    """Start a process that issues a certificate, and kill it when its signer has been asked."""
    script = directory / "issuing.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})\n{_ISSUING}")
    command = [sys.executable, str(script), database_url or "", str(directory), CSR]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "the signer is asked\n"
        process.kill()


@pytest.fixture
def signer() -> Iterator[SigningProcess]:
    with signing_process() as started:
        yield started


async def test_a_number_of_an_issuer_is_reserved_used_and_abandoned_once(store: Store) -> None:
    other = replace(RESERVATION, issuer_id="cd" * 32)
    assert [await reserve(store, each) for each in (RESERVATION, RESERVATION, other)] == [True, False, True]
    assert [await use(store, RESERVATION) for _ in range(2)] == [True, False]
    assert not await abandon(store, RESERVATION)
    assert [await abandon(store, other) for _ in range(2)] == [True, False]
    assert not await use(store, other)
    assert not await reserve(store, other)
    assert await abandon_unused(store, LATER) == []


async def test_what_was_not_used_is_abandoned_in_batches_and_once(store: Store) -> None:
    numbered = [replace(RESERVATION, serial_number=SerialNumber((1 << 100) + number)) for number in range(3)]
    for reservation in numbered:
        assert await reserve(store, reservation)
    assert await abandon_unused(store, NOW) == []
    swept = await asyncio.gather(*(abandon_unused(store, LATER, 2) for _ in range(3)))
    swept.append(await abandon_unused(store, LATER))
    assert sorted((each for some in swept for each in some), key=lambda each: each.serial_number) == numbered
    assert max(map(len, swept)) <= 2
    assert not any([await use(store, each) for each in numbered])


async def test_the_number_of_a_certificate_cannot_be_reserved_for_its_issuer(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    assert certificate.issuer_id is not None
    taken = SerialReservation(certificate.issuer_id, certificate.serial_number, certificate.scope)
    assert not await reserve(store, taken)
    assert await reserve(store, replace(taken, issuer_id="cd" * 32))


async def test_a_number_is_either_used_or_abandoned_if_both_are_tried_at_once(store: Store) -> None:
    for number in range(ROUNDS):
        reservation = replace(RESERVATION, serial_number=SerialNumber((1 << 100) + number))
        assert await reserve(store, reservation)
        used, abandoned = await asyncio.gather(use(store, reservation), abandon(store, reservation))
        assert used is not abandoned


async def test_a_request_whose_signature_comes_too_late_is_refused(store: Store, signer: SigningProcess) -> None:
    clock = SettableClock(NOW)
    authority = replace(authority_with(signer, store), clock=clock)
    signer.stop()
    issuing = asyncio.create_task(certificates.issue_from_csr(authority, CALLER, CSR, active=True))
    while not await store.read(lambda: rows_of("SELECT position FROM serial_reservation")):  # noqa: ASYNC110  no event
        await asyncio.sleep(0)
    clock.at += ABANDONED_AFTER * 2
    assert await sweep_serial_reservations(authority, 10) == 1
    signer.go_on()
    with pytest.raises(ServiceUnavailable, match="abandoned"):
        await issuing
    entries = await store.read(lambda: audit_table.audit_page(CALLER.scope, PageRequest(9, None, ascending=True)))
    assert [each.item.action for each in entries] == ["AbandonSerialNumber"]
    # The signer serves again.
    await certificates.issue_from_csr(authority, CALLER, CSR, active=True)


async def test_a_process_that_is_killed_while_it_waits_for_a_signature_leaves_the_number_reserved(
    database_url: str | None, tmp_path: Path, signer: SigningProcess
) -> None:
    kill_while_signing(database_url, tmp_path)
    (row,) = tables_of(tmp_path, database_url)["serial_reservation"]
    assert row["abandoned_at"] is None

    store = await open_store(database_url, tmp_path, observe=lambda kind, seconds: None)
    try:
        clock = SettableClock(NOW + ABANDONED_AFTER * 2)
        authority = replace(authority_with(signer, store), clock=clock)
        assert await sweep_serial_reservations(authority, 10) == 1
        (listed,) = await store.read(lambda: audit_table.audit_page(CALLER.scope, PageRequest(9, None, ascending=True)))
        entry = listed.item
        assert (entry.action, entry.detail["serial_number"]) == ("AbandonSerialNumber", row["serial_number"])
        left = SerialReservation(row["issuer_id"], SerialNumber(int(row["serial_number"], 16)), CALLER.scope)
        assert not await reserve(store, left)
    finally:
        await store.close()
    assert tables_of(tmp_path, database_url)["certificate"] == []
