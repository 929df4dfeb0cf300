"""A serial number is reserved before another process signs, and no number is given twice whatever fails."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta

import apsw
import pytest
from cryptography import x509
from msgspec.structs import replace
from tests.support.certificates.signers import SigningProcess, authority_with, signing_process
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, caller_with, new_authority
from tests.support.registration.fleet import DEVICE, FLEET, create_template, template_body

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.registration.certificates import certificates
from thingmint.registration.certificates.serial_numbers import ABANDONED_AFTER, sweep_serial_reservations
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import claims, device_provisioning, provisioning

CALLER = caller_with()
CSR = csr_pem("p-256")
FROM_CSR = template_body(certificate={"CertificateSigningRequest": {"Ref": "CSR"}}, parameters=("CSR",))
COLUMNS = "serial_number, abandoned_at IS NULL"


@pytest.fixture
def signer() -> Iterator[SigningProcess]:
    with signing_process() as started:
        yield started


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def authority(signer: SigningProcess, store: MemoryStore, clock: SettableClock) -> RegistrationAuthority:
    return replace(authority_with(signer, store), clock=clock)


def reservations(store: MemoryStore) -> list[tuple[object, ...]]:
    """Return each reserved number, and whether a certificate may still get it."""
    return [tuple(row) for row in store.tables.rows("serial_reservation", COLUMNS)]


def abandoned(store: MemoryStore) -> list[dict[str, str]]:
    """Return what the audit trail tells of numbers that no certificate has."""
    return [entry.detail for entry in store.tables.audit if entry.action == "AbandonSerialNumber"]


async def issue(authority: RegistrationAuthority) -> None:
    await certificates.issue_from_csr(authority, CALLER, CSR, active=True)


async def until(condition: Callable[[], object]) -> None:
    """Let others work until something is so."""
    while not condition():  # noqa: ASYNC110  a table sets no event
        await asyncio.sleep(0)


async def test_a_number_is_reserved_while_another_process_signs_and_free_of_it_with_the_certificate(
    authority: RegistrationAuthority, store: MemoryStore, signer: SigningProcess
) -> None:
    signer.stop()
    issuing = asyncio.create_task(issue(authority))
    await until(lambda: reservations(store))
    assert [is_open for _, is_open in reservations(store)] == [1]
    assert store.tables.certificates == []
    signer.go_on()
    await issuing
    (certificate,) = store.tables.certificates
    parsed = x509.load_der_x509_certificate(certificate.der)
    parsed.verify_directly_issued_by(authority.issuers.active.ca.certificate)
    assert reservations(store) == []
    assert abandoned(store) == []


@pytest.mark.parametrize("fault", [SigningProcess.kill, SigningProcess.sign_something_else], ids=["gone", "wrong"])
async def test_a_number_whose_signature_failed_is_abandoned_and_never_given_again(
    authority: RegistrationAuthority,
    store: MemoryStore,
    signer: SigningProcess,
    fault: Callable[[SigningProcess], None],
) -> None:
    same = replace(authority, serial_numbers=lambda: SerialNumber(1 << 103))
    fault(signer)
    with pytest.raises(ServiceUnavailable, match=r"signing process has ended|does not verify"):
        await issue(same)
    assert store.tables.certificates == []
    assert reservations(store) == [(f"{1 << 103:x}", 0)]
    detail = {"issuer_id": authority.issuers.active.ca.issuer_id, "serial_number": f"{1 << 103:x}"}
    assert abandoned(store) == [detail | {"reason": "the signature failed"}]
    (entry,) = store.tables.audit
    assert (entry.principal_arn, entry.request_id) == (CALLER.principal.arn, CALLER.request_id)
    assert entry.resource == f"arn:aws:iot:eu-west-1:123456789012:issuer/{detail['issuer_id']}"
    with pytest.raises(ServiceUnavailable, match="was given before"):
        await issue(same)
    assert len(reservations(store)) == len(abandoned(store)) == 1


async def test_a_number_of_a_certificate_is_not_given_again(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    same = replace(authority, serial_numbers=lambda: SerialNumber(1 << 103))
    await issue(same)
    with pytest.raises(ServiceUnavailable, match="was given before"):
        await issue(same)
    assert len(store.tables.certificates) == 1


async def test_a_failure_that_cannot_be_recorded_is_recorded_by_the_sweep(
    authority: RegistrationAuthority, store: MemoryStore, signer: SigningProcess, clock: SettableClock
) -> None:
    signer.stop()
    issuing = asyncio.create_task(issue(authority))
    await until(lambda: reservations(store))
    store.refuse_with = ServiceUnavailable("The database is gone")
    signer.kill()
    with pytest.raises(ServiceUnavailable, match="signing process has ended"):
        await issuing
    store.refuse_with = None
    assert [is_open for _, is_open in reservations(store)] == [1]
    clock.at = NOW + ABANDONED_AFTER
    assert await sweep_serial_reservations(authority, 10) == 0
    clock.at += timedelta(microseconds=1)
    assert await sweep_serial_reservations(authority, 10) == 1
    assert await sweep_serial_reservations(authority, 10) == 0
    assert [detail["reason"] for detail in abandoned(store)] == ["no certificate was recorded"]
    assert store.tables.audit[-1].principal_arn == "thingmint"
    assert [is_open for _, is_open in reservations(store)] == [0]


async def test_a_certificate_whose_number_was_abandoned_is_not_recorded(
    authority: RegistrationAuthority, store: MemoryStore, signer: SigningProcess, clock: SettableClock
) -> None:
    signer.stop()
    issuing = asyncio.create_task(issue(authority))
    await until(lambda: reservations(store))
    clock.at = NOW + ABANDONED_AFTER * 2
    assert await sweep_serial_reservations(authority, 10) == 1
    signer.go_on()
    with pytest.raises(ServiceUnavailable, match="abandoned before it was recorded"):
        await issuing
    assert store.tables.certificates == []
    assert len(abandoned(store)) == 1


async def test_a_sweep_is_bounded(authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock) -> None:
    numbers = itertools.count(1 << 104)
    lost = replace(authority, serial_numbers=lambda: SerialNumber(next(numbers)))
    for _ in range(3):
        await leave_open(lost, store)
    clock.at = NOW + ABANDONED_AFTER * 2
    assert [await sweep_serial_reservations(authority, 2) for _ in range(3)] == [2, 1, 0]
    assert len(abandoned(store)) == 3


async def leave_open(authority: RegistrationAuthority, store: MemoryStore) -> None:
    """Sign a certificate that is not recorded, because a policy of the request's own transaction refuses it."""
    body = template_body(
        certificate={"CertificateSigningRequest": {"Ref": "CSR"}},
        policies={"policy": {"PolicyName": "missing"}},
        parameters=("CSR",),
    )
    before = len(reservations(store))
    with pytest.raises(Exception, match="missing"):
        await provisioning.register_thing(authority, CALLER, body, {"CSR": CSR})
    assert len(reservations(store)) == before + 1
    assert store.tables.certificates == []


async def create_keys(authority: RegistrationAuthority) -> None:
    await certificates.issue_with_new_key(authority, CALLER, active=True)


async def create_keys_of_device(authority: RegistrationAuthority) -> None:
    await device_provisioning.create_keys(authority, DEVICE)


async def create_from_csr_of_device(authority: RegistrationAuthority) -> None:
    await device_provisioning.create_from_csr(authority, DEVICE, CSR, "client-1")


async def create_claim(authority: RegistrationAuthority) -> None:
    await create_template(authority)
    await claims.create_claim(authority, CALLER, FLEET)


async def provision(authority: RegistrationAuthority) -> None:
    await provisioning.register_thing(authority, CALLER, FROM_CSR, {"CSR": CSR})


@pytest.mark.parametrize(
    "way", [issue, create_keys, create_keys_of_device, create_from_csr_of_device, create_claim, provision]
)
async def test_each_way_to_a_certificate_reserves_and_uses_one_number(
    authority: RegistrationAuthority,
    store: MemoryStore,
    signer: SigningProcess,
    way: Callable[[RegistrationAuthority], Coroutine[object, object, None]],
) -> None:
    signer.stop()
    issuing = asyncio.create_task(way(authority))
    await until(lambda: reservations(store))
    assert len(reservations(store)) == 1
    signer.go_on()
    await issuing
    assert reservations(store) == []


async def test_a_key_in_this_process_costs_no_statement_for_the_number(store: MemoryStore) -> None:
    statements: list[str] = []

    def heard(cursor: apsw.Cursor, statement: str, bindings: object) -> bool:
        statements.append(statement)
        return True

    store._connection.exec_trace = heard
    await issue(new_authority(store))
    assert any("INSERT INTO certificate " in statement for statement in statements)
    assert not any("serial_reservation" in statement for statement in statements)
