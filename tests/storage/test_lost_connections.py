"""Every operation that changes the registry happens once or not at all, wherever a connection to PostgreSQL is lost."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace
from tests.support.certificates.entrances import CONNECTION, open_ca
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import der_of, new_ca
from tests.support.clients.signing import SettableClock
from tests.support.databases.cutting_proxy import CuttingProxy, Fault, Loss, Side, cutting_proxy
from tests.support.databases.log import sealer_of
from tests.support.databases.stores import Timings, sample_access_key
from tests.support.machine.soak import SOAK, examples
from tests.support.registration.authority import NOW, caller_with, new_authority
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, device, report, write_input
from tests.support.registration.effects import Rows, Trials, judge
from tests.support.registration.fleet import CLAIM_ID
from tests.support.registration.mutations import BY_DEVICE, DEVICE_MUTATIONS, MUTATIONS, READING, Mutation
from tests.support.registration.provisioning import ROLE_ARN

from thingmint.api.service import OPERATIONS
from thingmint.api.wire.planes import Plane
from thingmint.core.caller import Caller
from thingmint.core.errors import ResourceNotFound, ServiceUnavailable
from thingmint.core.identifiers import AccountId
from thingmint.core.issuer import IssuerRecord, IssuerStatus, KeyPlace
from thingmint.core.provisioning.registration_task import ReportType, TaskStatus
from thingmint.data_directory.buckets import Buckets
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.steps import Steps
from thingmint.registration.access.accounts import create_account, delete_account
from thingmint.registration.certificates.auto_registration import auto_register
from thingmint.registration.issuers.issuers import add, add_active, list_issuers
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.registration.provisioning import bulk, device_provisioning
from thingmint.registration.provisioning.bulk_runner import BulkRunner
from thingmint.registration.provisioning.ownership import sweep_unused_certificates
from thingmint.storage.database_url import parse_database_url
from thingmint.storage.postgresql import store as postgresql
from thingmint.storage.postgresql.session import OutcomeUnknown
from thingmint.storage.postgresql.store import PostgreSQLStore, open_postgresql

pytestmark = pytest.mark.long

# One of each kind: creation, a further version, an optimistic update, keys, deletion, attachment, many rows.
CHOSEN = (
    "CreatePolicy",
    "CreatePolicyVersion",
    "UpdateThing",
    "CreateKeysAndCertificate",
    "DeleteCertificate",
    "AttachPolicy",
    "RegisterThing",
    f"RegisterThing{BY_DEVICE}",
)
# What each run tries with every kind of loss: an optimistic update, keys, many rows in many steps. The store decides
# what a loss means, and knows no operation. Each operation is tried with one kind of loss.
FEW_STEPS = ("UpdateThing", "CreateKeysAndCertificate")
FEW = (*FEW_STEPS, f"RegisterThing{BY_DEVICE}")
_TABLES = (
    "SELECT table_name FROM information_schema.columns "
    "WHERE table_schema = 'public' AND column_name = 'account' ORDER BY table_name"
)
_BUSY = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND (state LIKE 'idle in transaction%' OR state = 'active') AND backend_type = 'client backend'"
)


@dataclass
class Watcher:
    """Looks into the database past every store."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    counting: str = ""

    async def rows(self, *accounts: str) -> Rows:
        """Return the number of rows that the accounts have in each table, once no transaction is open any more."""
        # The server undoes what was not committed when it notices that the connection is gone.
        while await self.connection.fetchval(_BUSY):  # noqa: ASYNC110  the server tells nobody of it
            await asyncio.sleep(0.005)
        if not self.counting:
            tables = [row[0] for row in await self.connection.fetch(_TABLES)]
            counts = (f"(SELECT count(*) FROM {table} WHERE account = ANY($1)) AS {table}" for table in tables)
            self.counting = f"SELECT {', '.join(counts)}"
            # Many tables take longer to plan than to read.
            await self.connection.execute("SET plan_cache_mode = force_generic_plan")
        row = await self.connection.fetchrow(self.counting, list(accounts))
        assert row is not None
        return dict(row)


async def opened(url: str) -> PostgreSQLStore:
    return await open_postgresql(parse_database_url(url), observe=Timings())


@pytest.fixture
async def proxy(postgresql_url: str) -> AsyncIterator[CuttingProxy]:
    async with cutting_proxy(postgresql_url) as made:
        yield made


@pytest.fixture
async def trials(postgresql_url: str, proxy: CuttingProxy, tmp_path: Path) -> AsyncIterator[Trials]:
    direct, failing = await opened(postgresql_url), await opened(proxy.url)
    watcher = Watcher(await asyncpg.connect(postgresql_url))
    write_input(tmp_path, [{"Name": "sensor"}])

    def arm(fault: Fault | None) -> None:
        proxy.fault = fault

    yield Trials(direct, failing, tmp_path, arm, watcher.rows)
    await watcher.connection.close()
    await failing.close()
    await direct.close()


def chosen(names: Sequence[str] = CHOSEN, *, everything: bool = False) -> Sequence[Mutation]:
    all_of_them = (*MUTATIONS, *DEVICE_MUTATIONS)
    return [mutation for mutation in all_of_them if SOAK or everything or mutation.operation in names]


def test_every_operation_that_changes_the_registry_is_tried() -> None:
    implemented = {each.name for each in OPERATIONS if each.plane is Plane.CONTROL}
    changing = {name for name in implemented if not name.startswith(READING)} | {"GetRegistrationCode"}
    assert {mutation.operation for mutation in MUTATIONS} == changing


@pytest.mark.parametrize(
    ("side", "loss"),
    [
        (Side.SERVER, Loss.SWALLOWED),
        (Side.SERVER, Loss.CLOSED_AFTER),
        (Side.SERVER, Loss.RESET_AFTER),
        (Side.SERVER, Loss.SWALLOWED_RESET),
        (Side.CLIENT, Loss.CLOSED_AFTER),
        (Side.CLIENT, Loss.SWALLOWED),
        (Side.CLIENT, Loss.RESET_AFTER),
    ],
    ids=lambda each: each.name.lower(),
)
@pytest.mark.soak
async def test_an_operation_is_done_once_or_not_at_all_wherever_the_connection_is_lost(
    trials: Trials, side: Side, loss: Loss
) -> None:
    # Each run tries every fourth place of operations with many steps, beginning with another one by turns.
    step = examples(4, 1)
    for number, mutation in enumerate(chosen(FEW, everything=(side, loss) == (Side.SERVER, Loss.SWALLOWED))):
        places = None if mutation.operation in FEW_STEPS else itertools.count(number % step, step)
        await judge(trials, mutation, lambda place: Fault(side, loss, place), places)


@pytest.mark.soak
async def test_an_operation_is_done_once_or_not_at_all_at_which_single_message_the_connection_is_lost(
    trials: Trials,
) -> None:
    # How the server's messages are divided among what arrives at once is the same for all operations.
    for mutation in chosen(("UpdateThing",)):
        await judge(trials, mutation, lambda place: Fault(Side.SERVER, Loss.SWALLOWED, place, by_message=True))


@pytest.mark.soak
async def test_an_operation_is_done_once_or_not_at_all_behind_a_pooler_by_transaction(
    trials: Trials, proxy: CuttingProxy
) -> None:
    plain, trials.failing = trials.failing, await opened(f"{proxy.url}&statement_cache_size=0")
    for mutation in chosen(FEW):
        await judge(trials, mutation, lambda place: Fault(Side.SERVER, Loss.SWALLOWED, place))
    await trials.failing.close()
    trials.failing = plain


@pytest.mark.soak
@pytest.mark.parametrize("side", Side)
async def test_an_operation_whose_commit_is_not_answered_in_time_is_unavailable_and_done_once_or_not_at_all(
    trials: Trials, side: Side, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = trials.failing
    expected = [await trials.tried(mutation, None) for mutation in chosen()]
    # Short, so that the test is; on a slow machine something before the commit may not be answered in time either.
    monkeypatch.setattr(postgresql, "COMMAND_SECONDS", 0.5)
    trials.failing = await opened(proxy.url)
    for mutation, done in zip(chosen(), expected, strict=True):
        fault = Fault(side, Loss.STALLED, containing=b"COMMIT")
        while not fault.fired:
            outcome = await trials.tried(mutation, fault)
            assert outcome.told == "503", mutation.operation
            assert outcome.changed in ({}, done.changed), mutation.operation
    await trials.failing.close()
    trials.failing = patient


@dataclass(frozen=True)
class Change:
    """What is done in other ways than by operations of AWS's API, and what must be there before it.

    Both take a store and a caller whose account is this trial's alone.
    """

    before: Callable[[Store, Caller], Awaitable[object]]
    do: Callable[[Store, Caller], Awaitable[object]]


async def nothing(store: Store, caller: Caller) -> None:
    """There need be nothing."""


def other_account(caller: Caller) -> AccountId:
    return AccountId(str(int(caller.account) + 500_000_000_000))


async def account_is_made(store: Store, caller: Caller) -> object:
    return await create_account(store, sealer_of(), SettableClock(NOW), os.urandom, caller, other_account(caller))


async def account_is_deleted(store: Store, caller: Caller) -> object:
    # It has many transactions. A caller who is told that one of them is not known calls again.
    try:
        return await delete_account(store, SettableClock(NOW), caller, other_account(caller))
    except ResourceNotFound:
        return None


def authority_of(store: Store) -> RegistrationAuthority:
    return replace(new_authority(), store=store)


DEVICES_CA = new_ca()
DEVICE = der_of(DEVICES_CA.issue())


async def ca_is_open(store: Store, caller: Caller) -> object:
    return await open_ca(authority_of(store), DEVICES_CA, caller, default=False)


async def device_registers_itself(store: Store, caller: Caller) -> object:
    return await auto_register(authority_of(store), replace(CONNECTION, account=caller.account), DEVICE)


def issuer_record(caller: Caller, status: IssuerStatus) -> IssuerRecord:
    return IssuerRecord(
        reference=f"{int(caller.account):032x}",
        issuer_id=f"{int(caller.account):064x}",
        status=status,
        key_type="ecdsa-p256",
        key_place=KeyPlace.DATABASE,
        sealed_key=b"sealed",
        token_uri=None,
        public_key="PEM",
        chain_pem="PEM",
        profile="{}",
        created_at=NOW,
        activated_at=NOW if status is IssuerStatus.ACTIVE else None,
    )


async def issuer_is_active(store: Store, caller: Caller) -> None:
    if not [each for each in await list_issuers(store) if each.status is IssuerStatus.ACTIVE]:
        await add(
            store, caller, NOW, None, [issuer_record(caller_with(account=AccountId("0" * 12)), IssuerStatus.ACTIVE)]
        )


async def issuer_is_rotated(store: Store, caller: Caller) -> object:
    (active,) = [each for each in await list_issuers(store) if each.status is IssuerStatus.ACTIVE]
    return await add_active(store, caller, NOW, issuer_record(caller, IssuerStatus.READY), active)


CHANGES = {
    "an account is made": Change(nothing, account_is_made),
    "an account is deleted": Change(account_is_made, account_is_deleted),
    "a device registers itself": Change(ca_is_open, device_registers_itself),
    "an issuer takes the place of another": Change(issuer_is_active, issuer_is_rotated),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_what_is_no_operation_is_done_once_or_not_at_all_wherever_the_connection_is_lost(
    trials: Trials, proxy: CuttingProxy, name: str
) -> None:
    change, numbers = CHANGES[name], itertools.count(1)

    async def tried(fault: Fault | None) -> tuple[str, Rows]:
        caller = caller_with(account=AccountId(f"{next(numbers):012d}"))
        accounts = (caller.account, other_account(caller))
        await change.before(trials.direct, caller)
        before = await trials.rows(*accounts)
        issuers = len(await list_issuers(trials.direct))
        proxy.fault = fault
        try:
            await change.do(trials.failing, caller)
            told = "done"
        except ServiceUnavailable:
            told = "unavailable"
        finally:
            proxy.fault = None
        after = await trials.rows(*accounts)
        after["issuer"], before["issuer"] = len(await list_issuers(trials.direct)), issuers
        if told == "unavailable" and name == "an account is deleted":
            await change.do(trials.direct, caller)
            after = await trials.rows(*accounts)
        return told, {
            table: after[table] - before.get(table, 0) for table in after if after[table] != before.get(table, 0)
        }

    told, expected = await tried(None)
    assert told == "done"
    assert expected
    # A deletion goes through every table, in some two hundred statements that are alike.
    for place in itertools.count(0, 1 if SOAK or name != "an account is deleted" else 19):
        fault = Fault(Side.SERVER, Loss.SWALLOWED, place)
        told, changed = await tried(fault)
        assert changed == expected or (told, changed) == ("unavailable", {}), place
        if not fault.fired:
            assert place, "the connection was never lost"
            return


async def test_a_bulk_registration_registers_and_reports_each_line_once_wherever_the_connection_is_lost(
    trials: Trials, proxy: CuttingProxy, tmp_path: Path
) -> None:
    clock, lines = SettableClock(NOW), 6
    numbers = itertools.count(1)
    safe = replace(
        new_authority(),
        store=trials.direct,
        clock=clock,
        files=Buckets(tmp_path),
        new_generation_id=lambda: f"id-{next(numbers)}",
    )
    # Some hundred places, most of them alike.
    for place in itertools.count() if SOAK else itertools.count(0, 3):
        account = AccountId(f"{place + 1:012d}")
        write_input(tmp_path, [device(number) for number in range(lines)], account)
        task = await bulk.start(safe, caller_with(account=account), TEMPLATE, BUCKET, KEY, ROLE_ARN)
        proxy.fault = fault = Fault(Side.SERVER, Loss.SWALLOWED, place)
        with contextlib.suppress(ServiceUnavailable):
            await BulkRunner(replace(safe, store=trials.failing), f"first-{place}").work()
        proxy.fault = None
        clock.at += timedelta(minutes=1)
        while await BulkRunner(safe, f"second-{place}").work():
            pass
        done, _ = await bulk.describe(safe, caller_with(account=account), task.task_id)
        assert (done.status, done.progress.successes) == (TaskStatus.COMPLETED, lines), place
        results = report(tmp_path, task.task_id, ReportType.RESULTS)
        assert [each["lineNumber"] for each in results] == list(range(1, lines + 1)), place
        found = await trials.rows(account, account)
        assert (found["thing"], found["registration_outcome"]) == (lines, 0), place
        assert found["audit"] == 1 + lines, place
        if not fault.fired:
            assert place, "the connection was never lost"
            return


@pytest.mark.parametrize("loss", [Loss.SWALLOWED, Loss.CLOSED_AFTER], ids=["swallowed", "closed"])
async def test_a_sweep_deletes_once_wherever_the_connection_is_lost(
    trials: Trials, proxy: CuttingProxy, loss: Loss
) -> None:
    clock = SettableClock(NOW)
    safe = replace(new_authority(), store=trials.direct, clock=clock)
    for place in itertools.count():
        account = AccountId(f"{place + 1:012d}")
        clock.at = NOW
        await device_provisioning.create_from_csr(
            safe, device_provisioning.FleetDevice(caller_with(account=account), CLAIM_ID), csr_pem("p-256"), "client"
        )
        clock.at = NOW + timedelta(hours=2)
        proxy.fault = fault = Fault(Side.SERVER, loss, place)
        with contextlib.suppress(ServiceUnavailable):
            await sweep_unused_certificates(replace(safe, store=trials.failing), 10)
        proxy.fault = None
        await sweep_unused_certificates(safe, 10)
        found = await trials.rows(account, account)
        assert (found["certificate"], found["audit"]) == (0, 2), place
        if not fault.fired:
            assert place, "the connection was never lost"
            return


async def test_a_commit_whose_answer_is_lost_is_not_repeated(trials: Trials, proxy: CuttingProxy) -> None:
    numbers, runs = itertools.count(1), 0

    def program() -> Steps[None]:
        nonlocal runs
        runs += 1
        yield from access_key_table.insert_access_key(sample_access_key(next(numbers)))

    for loss in (Loss.SWALLOWED, Loss.SWALLOWED_RESET):
        runs = 0
        proxy.fault = fault = Fault(Side.SERVER, loss, containing=b"COMMIT\0")
        with pytest.raises(OutcomeUnknown):
            await trials.failing.write(program)
        assert fault.fired
        assert runs == 1
    await trials.failing.check()


async def test_the_programs_own_refusal_is_told_when_the_connection_is_lost_while_it_is_undone(
    trials: Trials, proxy: CuttingProxy
) -> None:
    def program() -> Steps[None]:
        yield from access_key_table.insert_access_key(sample_access_key(1))
        raise ZeroDivisionError

    for side, containing in ((Side.SERVER, b"ROLLBACK\0"), (Side.CLIENT, b"ROLLBACK")):
        proxy.fault = fault = Fault(side, Loss.SWALLOWED, containing=containing)
        with pytest.raises(ZeroDivisionError):
            await trials.failing.write(program)
        assert fault.fired
    await trials.failing.check()


async def test_a_write_that_is_cancelled_while_its_commit_is_not_answered_leaves_a_store_that_works(
    trials: Trials, proxy: CuttingProxy
) -> None:
    proxy.fault = fault = Fault(Side.SERVER, Loss.STALLED, containing=b"COMMIT\0")
    write = asyncio.create_task(trials.failing.write(lambda: access_key_table.insert_access_key(sample_access_key(1))))
    while not fault.fired:  # noqa: ASYNC110  the proxy sets no event
        await asyncio.sleep(0.005)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    await trials.failing.check()


@pytest.mark.soak
@pytest.mark.parametrize("loss", [Loss.SWALLOWED, Loss.SWALLOWED_RESET], ids=["closed", "reset"])
@pytest.mark.parametrize("side", Side)
async def test_a_start_whose_connection_is_lost_anywhere_is_refused_in_words_and_works_the_next_time(
    postgresql_url: str, proxy: CuttingProxy, side: Side, loss: Loss
) -> None:
    # Some hundred statements, most of them alike.
    for place in itertools.count() if SOAK else itertools.chain(range(8), itertools.count(8, 50)):
        proxy.fault = fault = Fault(side, loss, place)
        try:
            store = await opened(proxy.url)
        except ServiceUnavailable as error:
            assert fault.fired
            words = str(error).partition(f"127.0.0.1:{proxy.port} cannot be ")[2]
            assert words.partition(": ")[2].strip()
        else:
            await store.close()
        if not fault.fired:
            assert place > 3
            return


async def test_a_connection_that_is_slow_to_close_does_not_keep_the_service_from_starting(
    postgresql_url: str, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "COMMAND_SECONDS", 3.0)
    # "X" is the farewell of a client; the server closes the connection when it has read it.
    proxy.fault = fault = Fault(Side.CLIENT, Loss.STALLED, containing=b"X\x00\x00\x00\x04")
    store = await opened(proxy.url)
    assert fault.fired
    await store.check()
    await store.close()


async def test_a_connection_that_is_slow_to_close_does_not_keep_the_store_from_closing(
    postgresql_url: str, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "CONNECT_SECONDS", 1.0)
    for loss in (Loss.STALLED, Loss.SWALLOWED_RESET):
        store = await opened(proxy.url)
        await store.check()
        proxy.fault = fault = Fault(Side.CLIENT, loss, containing=b"X\x00\x00\x00\x04")
        await store.close()
        assert fault.fired
        proxy.fault = None


async def test_a_server_that_stops_answering_at_the_start_is_an_outage_in_words(
    proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "COMMAND_SECONDS", 1.0)
    monkeypatch.setattr(postgresql, "CONNECT_SECONDS", 1.0)
    for place in range(3):
        proxy.fault = Fault(Side.SERVER, Loss.STALLED, place)
        with pytest.raises(ServiceUnavailable, match=rf"127\.0\.0\.1:{proxy.port} cannot be .*: timeout"):
            await opened(proxy.url)
