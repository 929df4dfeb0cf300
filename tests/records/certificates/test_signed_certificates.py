"""Certificates known by what was signed, on both engines: races, and databases of earlier versions."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import asyncpg
import pytest
from msgspec.structs import replace
from tests.support.certificates.encodings import negated
from tests.support.certificates.user_ca import UserCA, der_of, new_ca
from tests.support.databases.stores import Timings
from tests.support.registration.authority import ACCOUNT, REGION, caller_with, new_authority

from thingmint.core.certificates.ca_certificate import CACertificate
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.errors import CertificateInvalid, ResourceExists
from thingmint.core.identifiers import AccountId, CertificateId, Scope, certificate_id_of
from thingmint.core.paging import PageRequest
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.issuance.foreign.signed_form import signed_digest
from thingmint.records.certificates import signed_certificates as signed_certificate_table
from thingmint.records.certificates import signed_certificates as statements
from thingmint.registration.certificates import ca_certificates, certificates
from thingmint.registration.certificates.auto_registration import (
    AutoRegistrationOutcome,
    FirstConnection,
    auto_register,
)
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.certificates.registered_certificates import register, register_without_ca
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.storage import SQLITE_FILE_NAME, open_store
from thingmint.storage.dialect import POSTGRESQL, SQLITE
from thingmint.storage.postgresql.session import drive
from thingmint.storage.schema import migrate, migrations
from thingmint.storage.sqlite.connection import create

CALLER, OTHER = caller_with(), caller_with(account=AccountId("222222222222"))
CONNECTION = FirstConnection(REGION, ACCOUNT, "192.0.2.7", "request-9")
ACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.REVOKED
ALL = PageRequest(100, None, ascending=True)
BEFORE = tuple(migration for migration in migrations() if migration.version < 12)


async def open_ca(authority: RegistrationAuthority, ca: UserCA) -> CACertificate:
    """Register the CA, active and with automatic registration."""
    brought = CARegistration(ca.pem, None, CertificateMode.SNI_ONLY, active=True, auto_registration=True)
    return await ca_certificates.register(authority, CALLER, brought)


async def two_nodes(store: Store, database_url: str | None, folder: Path) -> Store:
    """Return the store of a second node on PostgreSQL; SQLite has one writer, so the same one there."""
    if database_url is None:
        return store
    return await open_store(database_url, folder, observe=Timings())


@pytest.mark.parametrize("entrance", ["first connection", "RegisterCertificate", "RegisterCertificateWithoutCA"])
async def test_of_two_encodings_that_come_at_once_one_is_registered(
    store: Store, database_url: str | None, tmp_path: Path, entrance: str
) -> None:
    second = await two_nodes(store, database_url, tmp_path)
    nodes = [replace(new_authority(), store=each) for each in (store, second)]
    ca = new_ca()
    await open_ca(nodes[0], ca)
    enter: dict[str, Callable[[RegistrationAuthority, bytes], Awaitable[object]]] = {
        "first connection": lambda node, der: auto_register(node, CONNECTION, der),
        "RegisterCertificate": lambda node, der: register(node, CALLER, certificate_pem(der), None, ACTIVE),
        "RegisterCertificateWithoutCA": lambda node, der: register_without_ca(
            node, CALLER, certificate_pem(der), ACTIVE
        ),
    }
    for _ in range(5):
        der = der_of(ca.issue())
        encodings = (der, negated(der)) * 4
        results = await asyncio.gather(
            *(enter[entrance](nodes[number % 3 % 2], each) for number, each in enumerate(encodings)),
            return_exceptions=True,
        )
        alike = await store.read(
            lambda der=der: signed_certificate_table.certificates_signed_alike(REGION, signed_digest(der))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        )
        assert len(alike) == 1
        unexpected = [
            each
            for each in results
            if isinstance(each, BaseException) and not isinstance(each, ResourceExists | CertificateInvalid)
        ]
        assert not unexpected
    if second is not store:
        await second.close()


async def test_a_revoked_certificate_that_is_deleted_meanwhile_is_not_registered(
    store: Store, database_url: str | None, tmp_path: Path
) -> None:
    second = await two_nodes(store, database_url, tmp_path)
    operator, gateway = (replace(new_authority(), store=each) for each in (store, second))
    ca = new_ca()
    await open_ca(operator, ca)
    for _ in range(8):
        der = der_of(ca.issue())
        registered = await register(operator, CALLER, certificate_pem(der), None, REVOKED)

        async def connect(der: bytes = der) -> list[object]:
            outcomes: list[object] = []
            for encoding in (der, negated(der)) * 3:
                with contextlib.suppress(CertificateInvalid):
                    outcomes.append(await auto_register(gateway, CONNECTION, encoding))
            return outcomes

        _, outcomes = await asyncio.gather(certificates.delete(operator, CALLER, registered.certificate_id), connect())
        assert all(
            done is None or done.outcome is AutoRegistrationOutcome.PRESENT  # type: ignore[attr-defined]  # an AutoRegistration
            for done in outcomes
        )
        with pytest.raises(CertificateInvalid):
            await auto_register(gateway, CONNECTION, negated(der))
    if second is not store:
        await second.close()


class Earlier:
    """A database as the version before wrote it."""

    def __init__(self, database_url: str | None, folder: Path) -> None:
        self._url, self._folder = database_url, folder

    async def create(self) -> None:
        """Make the tables."""
        if self._url is None:
            create(self._folder / SQLITE_FILE_NAME, BEFORE, vfs=None)
            return
        connection = await asyncpg.connect(self._url)
        async with connection.transaction():
            await drive(connection, lambda: migrate(POSTGRESQL, BEFORE))
        await connection.close()

    async def insert(self, table: str, row: dict[str, object]) -> None:
        """Store a row."""
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"
        if self._url is None:
            connection = apsw.Connection(str(self._folder / SQLITE_FILE_NAME))
            connection.execute(sql, tuple(row.values()))
            connection.close()
            return
        other = await asyncpg.connect(self._url)
        await other.execute(sql, *row.values())
        await other.close()

    async def certificate(
        self,
        der: bytes,
        *,
        scope: Scope = CALLER.scope,
        issuer_id: str | None = None,
        ca_id: str | None = None,
        serial_number: int = 7,
        mode: str = "SNI_ONLY",
        status: CertificateStatus = ACTIVE,
    ) -> CertificateId:
        """Store a certificate and return its id."""
        await self.insert(
            "certificate",
            self._common(der, scope, mode)
            | {"issuer_id": issuer_id, "serial_number": f"{serial_number:x}", "ca_certificate_id": ca_id}
            | {"status": status.value},
        )
        return certificate_id_of(der)

    async def ca(self, ca: UserCA) -> CertificateId:
        """Store a CA certificate and return its id."""
        der = der_of(ca.certificate)
        beside = {"subject_digest": "ab" * 32, "auto_registration": "ENABLE"}
        await self.insert("ca_certificate", self._common(der, CALLER.scope, "SNI_ONLY") | beside)
        return certificate_id_of(der)

    def _common(self, der: bytes, scope: Scope, mode: str) -> dict[str, object]:
        return {
            "account": scope.account,
            "region": scope.region,
            "certificate_id": certificate_id_of(der),
            "der": der,
            "status": "ACTIVE",
            "mode": mode,
            "not_before": 0,
            "not_after": 1,
            "created_at": 0,
            "modified_at": 0,
            "customer_version": 1,
            "generation_id": "generation",
        }


@pytest.fixture
async def earlier(empty_database_url: str | None, tmp_path: Path) -> Earlier:
    """An empty database of the version before."""
    database = Earlier(empty_database_url, tmp_path)
    await database.create()
    return database


async def migrated(database_url: str | None, folder: Path) -> dict[str, Certificate]:
    """Open the database, and return its certificates by their ids and accounts."""
    store = await open_store(database_url, folder, observe=Timings())
    found: dict[str, Certificate] = {}
    for caller in (CALLER, OTHER):
        authority = replace(new_authority(), store=store)
        page = await certificates.list_certificates(authority, caller, ALL)
        for each in page.items:
            found[each.arn] = await certificates.describe(authority, caller, each.certificate_id)
    twice = await store.read(lambda: signed_certificate_table.other_encodings())
    assert set(twice) == {each for each in found.values() if each.other_encoding_of is not None}
    await store.close()
    return found


async def test_a_database_of_before_gets_its_digests_and_opens_with_its_pairs(
    earlier: Earlier, empty_database_url: str | None, tmp_path: Path
) -> None:
    ca = new_ca()
    pair, single, elsewhere = (der_of(ca.issue()) for _ in range(3))
    own = der_of(new_ca("the service").issue())
    first = await earlier.certificate(pair)
    second = await earlier.certificate(negated(pair))
    await earlier.certificate(single)
    await earlier.certificate(elsewhere)
    await earlier.certificate(negated(elsewhere), scope=OTHER.scope)
    issued = await earlier.certificate(own, issuer_id="ab" * 32, serial_number=0xABC, mode="DEFAULT")
    of_issued = await earlier.certificate(negated(own), serial_number=0xABC)
    default = der_of(ca.issue())
    in_default = await earlier.certificate(default, mode="DEFAULT")
    await earlier.certificate(negated(default), scope=OTHER.scope, mode="DEFAULT")

    found = await migrated(empty_database_url, tmp_path)

    by_id = {each.certificate_id: each for each in found.values()}
    assert by_id[first].signed_digest == signed_digest(pair)
    assert {key: each.other_encoding_of for key, each in by_id.items() if each.other_encoding_of is not None} == {
        second: first,
        of_issued: issued,
        certificate_id_of(negated(default)): in_default,
    }
    without = {key for key, each in by_id.items() if each.signed_digest is None}
    assert without == {second, issued, of_issued, certificate_id_of(negated(default))}


async def test_of_a_pair_of_before_the_revoked_one_counts_whichever_came_first(
    earlier: Earlier, empty_database_url: str | None, tmp_path: Path
) -> None:
    ca = new_ca()
    expected = {}
    for statuses in ((ACTIVE, REVOKED), (REVOKED, ACTIVE)):
        der = der_of(ca.issue())
        ids = {
            status: await earlier.certificate(encoding, status=status)
            for encoding, status in zip((der, negated(der)), statuses, strict=True)
        }
        expected[ids[ACTIVE]] = ids[REVOKED]
    found = (await migrated(empty_database_url, tmp_path)).values()
    assert {each.certificate_id: each.other_encoding_of for each in found if each.other_encoding_of} == expected


async def test_of_a_database_of_before_many_certificates_get_their_digests(
    earlier: Earlier, empty_database_url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thingmint.storage.migration_code._BATCH", 3)
    ca = new_ca()
    ders = [der_of(ca.issue()) for _ in range(9)]
    for der in ders:
        await earlier.certificate(der)
    found = await migrated(empty_database_url, tmp_path)
    assert sorted(each.signed_digest or "" for each in found.values()) == sorted(map(signed_digest, ders))


async def test_what_two_cas_of_one_name_signed_stays_two_certificates(
    earlier: Earlier, empty_database_url: str | None, tmp_path: Path
) -> None:
    cas = [new_ca(), new_ca()]
    ids = [await earlier.ca(ca) for ca in cas]
    ders = [der_of(ca.issue(serial_number=7)) for ca in cas]
    assert signed_digest(ders[0]) == signed_digest(ders[1])
    for der, ca_id in zip(ders, ids, strict=True):
        await earlier.certificate(der, ca_id=ca_id)
    other = await earlier.certificate(negated(ders[1]), ca_id=ids[1])
    unknown = await earlier.certificate(negated(ders[0]), ca_id="cd" * 32)
    found = {each.certificate_id: each for each in (await migrated(empty_database_url, tmp_path)).values()}
    assert {key: each.other_encoding_of for key, each in found.items() if each.other_encoding_of is not None} == {
        other: certificate_id_of(ders[1]),
        unknown: certificate_id_of(ders[0]),
    }
    assert found[certificate_id_of(ders[0])].signed_digest == signed_digest(ders[0])


def test_a_certificate_is_found_by_what_was_signed_through_an_index() -> None:
    connection = apsw.Connection(":memory:")
    for migration in migrations():
        for statement in migration.statements(SQLITE):
            connection.execute(statement)
    for sql in (
        statements.SIGNED_ALIKE,
        statements.ISSUED_WITH_SERIAL,
        statements.REGISTERED_WITH_SERIAL,
        statements.REVOKED,
        statements.REVOKED_WITH_SERIAL,
        statements.DELETE_REVOKED,
        statements.DELETE_ENDED,
    ):
        steps = connection.execute(f"EXPLAIN QUERY PLAN {sql}", {f"{number}": 1 for number in range(1, 9)}).fetchall()
        assert not [step for step in steps if str(step[3]).startswith("SCAN certificate")], (sql, steps)
        assert not [step for step in steps if str(step[3]).startswith("SCAN revoked")], (sql, steps)
