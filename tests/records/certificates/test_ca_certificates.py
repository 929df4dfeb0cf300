"""CA certificates and registration codes, and races for them, on both engines."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs
from tests.support.certificates.user_ca import der_of, new_ca
from tests.support.databases.stores import CREATED_AT, OTHER_SCOPE, SCOPE, insert, sample_certificate
from tests.support.registration.authority import caller_with, new_authority
from tests.support.registration.fleet import create_template
from tests.support.registration.provisioning import JITP_BODY

from thingmint.core.certificates.ca_certificate import (
    AutoRegistrationStatus,
    CACertificate,
    CACertificateStatus,
    CACertificateUpdate,
    RegistrationConfig,
)
from thingmint.core.certificates.certificate import CertificateMode, CertificateStatus
from thingmint.core.errors import DeletionRefused, LimitExceeded, ResourceExists, ResourceNotFound
from thingmint.core.identifiers import AccountId, Region, Scope, TemplateName, certificate_id_of
from thingmint.core.paging import PageRequest
from thingmint.core.provisioning.stored_template import TemplateType
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.registration.certificates import ca_certificates, registration_codes
from thingmint.registration.certificates.auto_registration import (
    AutoRegistrationOutcome,
    FirstConnection,
    auto_register,
)
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.certificates.registered_certificates import register, register_without_ca
from thingmint.registration.kernel.ports import Store
from thingmint.registration.provisioning import provisioning_templates

STRANGER = Scope(AccountId("222222222222"), SCOPE.region)
MOST = 10


def sample_ca(
    number: int, *, scope: Scope = SCOPE, mode: CertificateMode = CertificateMode.SNI_ONLY, subject: str = "cd" * 32
) -> CACertificate:
    """Return a CA certificate that differs from those of other numbers; its DER is noise."""
    der = hashlib.shake_256(f"CA {number}".encode()).digest(600)
    return CACertificate(
        scope=scope,
        certificate_id=certificate_id_of(der),
        der=der,
        subject_digest=subject,
        status=CACertificateStatus.ACTIVE,
        mode=mode,
        auto_registration=AutoRegistrationStatus.ENABLE,
        registration_config=RegistrationConfig(None, "fleet", None) if number % 2 else None,
        not_before=CREATED_AT,
        not_after=CREATED_AT + timedelta(days=10),
        created_at=CREATED_AT,
        modified_at=CREATED_AT,
        customer_version=1,
        generation_id=f"generation-{number}",
    )


async def store_ca(store: Store, ca_certificate: CACertificate) -> None:
    await store.write(lambda: ca_certificate_table.insert_ca_certificate(ca_certificate, MOST))


async def fetch_ca(store: Store, ca_certificate: CACertificate) -> CACertificate | None:
    scope, certificate_id = ca_certificate.scope, ca_certificate.certificate_id
    return await store.read(lambda: ca_certificate_table.ca_certificate(scope, certificate_id))


async def test_a_ca_certificate_comes_back_as_it_was_stored(store: Store) -> None:
    for number, config in enumerate((None, RegistrationConfig('{"a": "ü"}', None, "role"))):
        ca_certificate = replace(sample_ca(number), registration_config=config)
        await store_ca(store, ca_certificate)
        assert await fetch_ca(store, ca_certificate) == ca_certificate
        assert await fetch_ca(store, replace(ca_certificate, scope=OTHER_SCOPE)) is None


async def test_an_update_counts_for_its_version_alone(store: Store) -> None:
    before = sample_ca(1)
    await store_ca(store, before)
    after = replace(
        before,
        status=CACertificateStatus.INACTIVE,
        auto_registration=AutoRegistrationStatus.DISABLE,
        registration_config=None,
        modified_at=CREATED_AT + timedelta(seconds=1),
        customer_version=2,
    )
    assert await store.write(lambda: ca_certificate_table.update_ca_certificate(before, after))
    assert not await store.write(lambda: ca_certificate_table.update_ca_certificate(before, before))
    assert not await store.write(lambda: ca_certificate_table.delete_ca_certificate(before))
    assert await fetch_ca(store, before) == after
    assert await store.write(lambda: ca_certificate_table.delete_ca_certificate(after))
    assert await fetch_ca(store, before) is None


async def test_of_many_that_register_one_ca_in_default_mode_one_wins(store: Store) -> None:
    scopes = [Scope(AccountId(f"{number:012d}"), SCOPE.region) for number in range(12)]
    in_default_mode = [sample_ca(1, scope=scope, mode=CertificateMode.DEFAULT) for scope in scopes]
    results = await asyncio.gather(*(store_ca(store, each) for each in in_default_mode), return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, ResourceExists) for result in results) == 11
    await store_ca(store, sample_ca(1, scope=STRANGER))


async def test_of_many_with_one_subject_ten_are_registered(store: Store) -> None:
    results = await asyncio.gather(
        *(store_ca(store, sample_ca(number)) for number in range(25)), return_exceptions=True
    )
    assert results.count(None) == MOST
    assert sum(isinstance(result, LimitExceeded) for result in results) == 15
    found = await store.read(lambda: ca_certificate_table.ca_certificates_of_subject(SCOPE, "cd" * 32))
    assert len(found) == MOST
    # Each deletion makes room for one.
    await store.write(lambda: ca_certificate_table.delete_ca_certificate(found[0]))
    again = await asyncio.gather(
        *(store_ca(store, sample_ca(number)) for number in range(100, 103)), return_exceptions=True
    )
    assert again.count(None) == 1


async def test_a_refused_duplicate_takes_no_room(store: Store) -> None:
    for number in range(MOST - 1):
        await store_ca(store, sample_ca(number))
    for _ in range(3):
        with pytest.raises(ResourceExists):
            await store_ca(store, sample_ca(0))
    await store_ca(store, sample_ca(MOST))


async def test_cas_are_found_by_subject_and_account(store: Store) -> None:
    default = sample_ca(1, mode=CertificateMode.DEFAULT)
    shared, stranger = sample_ca(2), sample_ca(2, scope=STRANGER)
    closed = replace(sample_ca(3), auto_registration=AutoRegistrationStatus.DISABLE)
    inactive = replace(sample_ca(4), status=CACertificateStatus.INACTIVE)
    other = sample_ca(5, subject="ef" * 32)
    elsewhere = sample_ca(6, scope=OTHER_SCOPE)
    for each in (default, shared, stranger, closed, inactive, other, elsewhere):
        await store_ca(store, each)
    of_subject = await store.read(lambda: ca_certificate_table.ca_certificates_of_subject(SCOPE, "cd" * 32))
    assert of_subject == (default, shared, closed, inactive)

    async def issuers(account: AccountId | None) -> object:
        return await store.read(
            lambda: ca_certificate_table.ca_certificates_of_issuer(SCOPE.region, "cd" * 32, account)
        )

    assert await issuers(None) == (default,)
    assert await issuers(SCOPE.account) == (default, shared)
    assert await issuers(STRANGER.account) == (default, stranger)

    async def of_any_account(limit: int) -> object:
        return await store.read(
            lambda: ca_certificate_table.ca_certificates_of_any_account(SCOPE.region, "cd" * 32, limit)
        )

    assert await of_any_account(10) == (default, shared, stranger)
    assert await of_any_account(2) == (default, shared)


async def test_lists_are_paged_in_order(store: Store) -> None:
    registered = [sample_ca(number, subject=f"{number:064x}") for number in range(8)]
    for each in registered:
        await store_ca(store, each)
    ids = [each.certificate_id for each in registered]
    for template_name, expected in ((None, ids), ("fleet", ids[1::2]), ("other", [])):
        for ascending in (True, False):
            request = PageRequest(100, None, ascending)
            found = await store.read(
                lambda name=template_name, page=request: ca_certificate_table.ca_certificate_summaries(  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                    SCOPE, name, page
                )
            )
            assert [summary.certificate_id for summary in found] == (expected if ascending else expected[::-1])


async def test_certificates_are_listed_by_their_ca(store: Store) -> None:
    ca_certificate = sample_ca(1)
    mine = [replace(sample_certificate(number), ca_certificate_id=ca_certificate.certificate_id) for number in range(4)]
    other = [replace(sample_certificate(number), ca_certificate_id=None) for number in range(10, 12)]
    await insert(store, *mine, *other)
    for ascending in (True, False):
        request = PageRequest(100, None, ascending)
        found = await store.read(
            lambda page=request: ca_certificate_table.summaries_by_ca(SCOPE, ca_certificate.certificate_id, page)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        )
        ids = [certificate.certificate_id for certificate in mine]
        assert [summary.certificate_id for summary in found] == (ids if ascending else ids[::-1])


async def test_an_account_has_one_registration_code_however_many_ask(store: Store) -> None:
    authority = structs.replace(new_authority(), store=store)
    caller = caller_with()
    codes = await asyncio.gather(*(registration_codes.registration_code(authority, caller) for _ in range(20)))
    assert len(set(codes)) == 1
    assert await store.write(lambda: ca_certificate_table.delete_registration_code(caller.scope))
    assert not await store.write(lambda: ca_certificate_table.delete_registration_code(caller.scope))


async def test_a_device_that_connects_many_times_at_once_is_registered_once(store: Store) -> None:
    authority = structs.replace(new_authority(), store=store)
    caller, ca = caller_with(), new_ca()
    await ca_certificates.register(
        authority,
        caller,
        CARegistration(ca.pem, None, CertificateMode.SNI_ONLY, active=True, auto_registration=True),
    )
    connection = FirstConnection(Region(caller.region), caller.account, "192.0.2.7", "request-9")
    leaf = der_of(ca.issue())
    done = await asyncio.gather(*(auto_register(authority, connection, leaf) for _ in range(12)))
    registered = [each.outcome for each in done if each is not None]
    assert registered.count(AutoRegistrationOutcome.REGISTERED) == 1
    assert registered.count(AutoRegistrationOutcome.PRESENT) == 11
    assert len({each.certificate for each in done if each is not None}) == 1


async def test_of_many_that_register_one_certificate_one_wins(store: Store) -> None:
    authority = structs.replace(new_authority(), store=store)
    caller, ca = caller_with(), new_ca()
    brought = CARegistration(ca.pem, None, CertificateMode.SNI_ONLY, active=True)
    await ca_certificates.register(authority, caller, brought)
    pem, status = ca.issue_pem(), CertificateStatus.ACTIVE
    results = await asyncio.gather(
        *(register(authority, caller, pem, None, status) for _ in range(6)),
        *(register_without_ca(authority, caller, pem, status) for _ in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, ResourceExists) for result in results) == 11


async def test_concurrent_updates_of_a_ca_follow_one_another(store: Store) -> None:
    authority = structs.replace(new_authority(), store=store)
    caller, ca = caller_with(), new_ca()
    registered = await ca_certificates.register(
        authority, caller, CARegistration(ca.pem, None, CertificateMode.SNI_ONLY)
    )
    updates = [
        CACertificateUpdate(registration_config=RegistrationConfig(role_arn=f"role {number}")) for number in range(12)
    ]
    await asyncio.gather(
        *(ca_certificates.update(authority, caller, registered.certificate_id, update) for update in updates)
    )
    present = await ca_certificates.describe(authority, caller, registered.certificate_id)
    assert present.customer_version == 13
    ended = await asyncio.gather(
        *(ca_certificates.delete(authority, caller, registered.certificate_id) for _ in range(6)),
        return_exceptions=True,
    )
    assert ended.count(None) == 1
    assert sum(isinstance(result, ResourceNotFound) for result in ended) == 5
    # The room that it took is free again, once.
    for number in range(MOST):
        await store_ca(store, sample_ca(number, scope=caller.scope, subject=registered.subject_digest))
    with pytest.raises(LimitExceeded):
        await store_ca(store, sample_ca(MOST, scope=caller.scope, subject=registered.subject_digest))


async def test_a_template_is_deleted_or_named_but_never_both(store: Store) -> None:
    authority = structs.replace(new_authority(), store=store)
    caller = caller_with()
    for number in range(8):
        name = TemplateName(f"fleet-{number}")
        await create_template(authority, JITP_BODY, name=name, kind=TemplateType.JITP, caller=caller)
        brought = CARegistration(
            new_ca(f"CA {number}").pem,
            None,
            CertificateMode.SNI_ONLY,
            registration_config=RegistrationConfig(template_name=name),
        )
        calls = [
            ca_certificates.register(authority, caller, brought),
            provisioning_templates.delete(authority, caller, name),
        ]
        order = (0, 1) if number % 2 else (1, 0)
        results = await asyncio.gather(*(calls[place] for place in order), return_exceptions=True)
        by_call = dict(zip(order, results, strict=True))
        registered, deleted = by_call[0], by_call[1]
        assert isinstance(registered, ResourceNotFound) if deleted is None else isinstance(deleted, DeletionRefused)
        assert isinstance(registered, CACertificate) is (deleted is not None)
