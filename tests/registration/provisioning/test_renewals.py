"""A device's certificate is renewed once for each key, keeps its bonds, and ends after the overlap."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs
from tests.support.certificates.entrances import without_ca
from tests.support.certificates.signers import authority_with, signing_process
from tests.support.certificates.signing_requests import DEVICE as OTHER_NAME
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import new_ca
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, Listener, new_authority, with_own_ids
from tests.support.registration.fleet import FLEET, OPERATOR, USUAL, create_template

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.certificates.renewal import MOST_RENEWALS
from thingmint.core.errors import (
    AccessDenied,
    CertificateStateRefused,
    InvalidRequest,
    LimitExceeded,
    ServiceUnavailable,
    ThingmintError,
)
from thingmint.core.identifiers import CertificateId, PolicyName, ThingName
from thingmint.core.policies.target import CertificateTarget
from thingmint.issuance.csr import SigningRequest, load_csr
from thingmint.records.steps import Program
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies import policy_attachments
from thingmint.registration.provisioning.enrollment import Enrollee, enroll
from thingmint.registration.provisioning.renewals import MOST_THINGS, end_overlaps, renew, running_renewals
from thingmint.registration.registry import thing_principals, things

T = TypeVar("T")
NAME = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "17")])
ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
OVERLAP = timedelta(days=7)


@dataclass
class Renewing:
    """A registry with one device, whose certificate has a thing and a policy."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: SettableClock = field(default_factory=lambda: SettableClock(NOW))

    def __post_init__(self) -> None:
        self.authority = with_own_ids(structs.replace(new_authority(self.store), clock=self.clock))

    async def device(self) -> Certificate:
        await create_template(self.authority, USUAL)
        return await enroll(self.authority, Enrollee(OPERATOR), request("p-256"), FLEET)

    async def renew(self, old: CertificateId, kind: str = "p-384", *, may_provision: bool = False) -> Certificate:
        return await renew(self.authority, OPERATOR, old, request(kind), may_provision=may_provision)

    async def status(self, certificate_id: CertificateId) -> CertificateStatus:
        return (await certificates.describe(self.authority, OPERATOR, certificate_id)).status


@pytest.fixture
def renewing() -> Renewing:
    return Renewing()


def request(kind: str = "p-256", name: x509.Name = NAME) -> SigningRequest:
    return load_csr(csr_pem(kind, name))


def new_request() -> SigningRequest:
    return replace(request(), public_key=ec.generate_private_key(ec.SECP256R1()).public_key())


async def test_the_new_certificate_has_subject_thing_and_policy_of_the_old_one(renewing: Renewing) -> None:
    old = await renewing.device()

    new = await renewing.renew(old.certificate_id)

    assert (new.status, await renewing.status(old.certificate_id)) == (ACTIVE, ACTIVE)
    assert x509.load_der_x509_certificate(new.der).subject == NAME
    for table in ("policy_attachment", "thing_principal"):
        rows = renewing.store.tables.rows(table)
        bonds = [{str(value) for value in row[1:]} - {old.arn, new.arn} for row in rows]
        assert (len(rows), bonds[0]) == (2, bonds[1])
    entry = renewing.store.tables.audit[-1]
    assert (entry.action, entry.resource, entry.detail["renewed"]) == ("RenewCertificate", new.arn, old.certificate_id)


async def test_the_same_request_again_is_the_same_certificate(renewing: Renewing) -> None:
    old = await renewing.device()
    new = await renewing.renew(old.certificate_id)
    before = renewing.store.tables.dump()
    assert await renewing.renew(old.certificate_id) == new
    assert renewing.store.tables.dump() == before

    await certificates.update_status(renewing.authority, OPERATOR, new.certificate_id, REVOKED)
    with pytest.raises(CertificateStateRefused, match="is REVOKED"):
        await renewing.renew(old.certificate_id)


async def test_a_renewal_that_was_deleted_is_made_anew(renewing: Renewing) -> None:
    old = await enroll(renewing.authority, Enrollee(OPERATOR), request(), None)
    new = await renewing.renew(old.certificate_id)
    await certificates.update_status(renewing.authority, OPERATOR, new.certificate_id, REVOKED)
    await certificates.delete(renewing.authority, OPERATOR, new.certificate_id)
    second = await renewing.renew(old.certificate_id)
    assert second.certificate_id != new.certificate_id
    assert len(renewing.store.tables.rows("certificate_renewal")) == 1


async def test_the_old_certificate_ends_after_the_overlap_once(renewing: Renewing) -> None:
    old = await renewing.device()
    new = await renewing.renew(old.certificate_id)
    renewing.clock.at = NOW + timedelta(days=6)
    later = await renew(renewing.authority, OPERATOR, old.certificate_id, new_request(), may_provision=False)
    assert await end_overlaps(renewing.authority, 10) == 0
    assert isinstance(renewing.authority.events, Listener)
    running = await running_renewals(renewing.authority, old.scope, old.certificate_id)
    assert [each.renewed_as for each in running] == [new.certificate_id, later.certificate_id]

    # The second renewal has not made the overlap longer.
    renewing.clock.at = NOW + OVERLAP
    assert await end_overlaps(renewing.authority, 10) == 2

    statuses = [await renewing.status(each.certificate_id) for each in (old, new, later)]
    assert statuses == [INACTIVE, ACTIVE, ACTIVE]
    entry = renewing.store.tables.audit[-1]
    assert (entry.action, entry.resource, entry.principal_arn) == ("UpdateCertificate", old.arn, "thingmint")
    assert entry.detail["renewed_as"] == new.certificate_id
    assert [row[4] for row in renewing.store.tables.rows("revocation")] != []
    # What an operator decides afterwards stays.
    await certificates.update_status(renewing.authority, OPERATOR, old.certificate_id, ACTIVE)
    assert await end_overlaps(renewing.authority, 10) == 0
    assert await renewing.status(old.certificate_id) is ACTIVE


@pytest.mark.parametrize("status", [REVOKED, None])
async def test_a_certificate_that_ended_before_stays_as_it_is(
    renewing: Renewing, status: CertificateStatus | None
) -> None:
    old = await enroll(renewing.authority, Enrollee(OPERATOR), request(), None)
    await renewing.renew(old.certificate_id)
    await certificates.update_status(renewing.authority, OPERATOR, old.certificate_id, REVOKED)
    if status is None:
        await certificates.delete(renewing.authority, OPERATOR, old.certificate_id)
    renewing.clock.at = NOW + OVERLAP
    entries = len(renewing.store.tables.audit)
    assert await end_overlaps(renewing.authority, 10) == 1
    assert len(renewing.store.tables.audit) == entries
    assert renewing.store.tables.rows("certificate_renewal") == []


async def test_only_so_many_keys_renew_one_certificate(renewing: Renewing) -> None:
    old = await renewing.device()
    for _ in range(MOST_RENEWALS):
        await renew(renewing.authority, OPERATOR, old.certificate_id, new_request(), may_provision=False)
    before = renewing.store.tables.dump()
    with pytest.raises(LimitExceeded):
        await renewing.renew(old.certificate_id)
    assert renewing.store.tables.dump() == before


async def test_what_is_no_devices_own_is_not_renewed(renewing: Renewing) -> None:
    authority = renewing.authority
    plain = await enroll(authority, Enrollee(OPERATOR), request(), None)
    foreign = await without_ca(authority, new_ca(at=NOW).issue_pem("lamp", at=NOW))
    inactive = await enroll(authority, Enrollee(OPERATOR), request(), None)
    await certificates.update_status(authority, OPERATOR, inactive.certificate_id, INACTIVE)
    crowded = await enroll(authority, Enrollee(OPERATOR), request(), None)
    for number in range(MOST_THINGS + 1):
        name = ThingName(f"lamp-{number}")
        await things.create(authority, OPERATOR, things.new_thing(authority, OPERATOR, name))
        await thing_principals.attach(authority, OPERATOR, name, crowded.arn)
    before = renewing.store.tables.dump()

    async def refused(old: CertificateId, error: type[ThingmintError], match: str, **options: bool) -> None:
        with pytest.raises(error, match=match):
            await renew(authority, OPERATOR, old, request("p-384"), **{"may_provision": False, **options})

    await refused(plain.certificate_id, AccessDenied, "has no thing", may_provision=True)
    await refused(foreign.certificate_id, AccessDenied, "Another authority")
    await refused(inactive.certificate_id, CertificateStateRefused, "is INACTIVE")
    await refused(crowded.certificate_id, LimitExceeded, "more than 10 things")
    await refused(CertificateId("0" * 64), CertificateStateRefused, "not registered")
    with pytest.raises(InvalidRequest, match="must be that of the certificate"):
        await renew(authority, OPERATOR, plain.certificate_id, request("p-384", OTHER_NAME), may_provision=False)
    assert renewing.store.tables.dump() == before


async def test_a_certificate_with_a_thing_is_a_devices_own_whatever_it_may_ask_for(renewing: Renewing) -> None:
    old = await renewing.device()
    assert (await renewing.renew(old.certificate_id, may_provision=True)).status is ACTIVE


async def test_what_changes_while_the_new_certificate_is_signed_counts(renewing: Renewing) -> None:
    old = await renewing.device()

    async def deactivate() -> None:
        await certificates.update_status(renewing.authority, OPERATOR, old.certificate_id, INACTIVE)

    async def detach() -> None:
        ((_, _, _, name, _),) = renewing.store.tables.rows("policy_attachment")
        target = CertificateTarget(old.scope, old.certificate_id)
        await policy_attachments.detach(renewing.authority, OPERATOR, "DetachPolicy", PolicyName(str(name)), target)

    for meanwhile, error in ((deactivate, CertificateStateRefused), (detach, ServiceUnavailable)):
        raced = Between(renewing.authority, meanwhile).authority
        with pytest.raises(error):
            await renew(raced, OPERATOR, old.certificate_id, request("p-384"), may_provision=False)
        await certificates.update_status(renewing.authority, OPERATOR, old.certificate_id, ACTIVE)
    assert len(renewing.store.tables.certificates) == 1


async def test_two_requests_at_once_come_to_one_certificate(renewing: Renewing) -> None:
    old = await renewing.device()
    first: list[Certificate] = []

    async def other() -> None:
        first.append(await renewing.renew(old.certificate_id))

    raced = Between(renewing.authority, other).authority
    second = await renew(raced, OPERATOR, old.certificate_id, request("p-384"), may_provision=False)
    assert first == [second]
    assert len(renewing.store.tables.certificates) == 2


async def test_a_commit_that_is_lost_leaves_nothing_and_the_request_may_come_again(renewing: Renewing) -> None:
    old = await renewing.device()
    before = renewing.store.tables.dump()
    renewing.store.lose_commit_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await renewing.renew(old.certificate_id)
    assert renewing.store.tables.dump() == before
    renewing.store.lose_commit_with = None
    new = await renewing.renew(old.certificate_id)

    renewing.clock.at = NOW + OVERLAP
    renewing.store.lose_commit_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await end_overlaps(renewing.authority, 10)
    renewing.store.lose_commit_with = None
    assert await renewing.status(old.certificate_id) is ACTIVE
    assert await end_overlaps(renewing.authority, 10) == 1
    assert [await renewing.status(each.certificate_id) for each in (old, new)] == [INACTIVE, ACTIVE]


async def test_a_key_in_another_process_leaves_no_reserved_number(renewing: Renewing) -> None:
    with signing_process() as signer:
        authority = structs.replace(authority_with(signer, renewing.store), clock=renewing.clock)
        await create_template(authority, USUAL)
        old = await enroll(authority, Enrollee(OPERATOR), request("p-256"), FLEET)
        await renew(authority, OPERATOR, old.certificate_id, request("p-384"), may_provision=False)
    assert renewing.store.tables.rows("serial_reservation") == []
    assert len(renewing.store.tables.certificates) == 2


class Between:
    """A store before whose first write something happens."""

    def __init__(self, authority: RegistrationAuthority, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._inner = authority.store
        self._meanwhile = [meanwhile]
        self.authority = structs.replace(authority, store=self)

    async def read(self, program: Program[T]) -> T:
        return await self._inner.read(program)

    async def write(self, program: Program[T]) -> T:
        while self._meanwhile:
            await self._meanwhile.pop()()
        return await self._inner.write(program)

    async def check(self) -> None:
        await self._inner.check()

    async def close(self) -> None:
        await self._inner.close()
