"""OCSP requests are answered from the registry, or from a cache that never outlives a change."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from msgspec.structs import replace
from tests.support.certificates.der import sequence
from tests.support.certificates.revocation import CALLER, Observed, Registry, new_publisher, new_registry
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import Listener, new_issuing_ca

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.revocation.ocsp import issuer_names
from thingmint.records.certificates import serial_reservations as reservation_table
from thingmint.records.certificates.serial_reservations import SerialReservation
from thingmint.records.steps import Program
from thingmint.registration.revocation import status as status_module
from thingmint.registration.revocation.responders import Responders
from thingmint.registration.revocation.status import StatusAnswer, StatusService
from thingmint.registration.revocation.terms import CRLIssuer, RevocationTerms

T = TypeVar("T")
ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
GOOD, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.UNKNOWN


@dataclass
class Answering:
    """The status service of a node."""

    registry: Registry
    service: StatusService
    observed: Observed

    def request(self, number: int, nonce: bytes | None = None, ca: IssuingCA | None = None) -> bytes:
        """Return a request about a serial number."""
        (names,) = [each for each in issuer_names(ca or self.registry.ca) if each[0] == "sha256"]
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(*names[1:], number, hashes.SHA256())
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(serialization.Encoding.DER)

    async def ask(self, number: int, nonce: bytes | None = None, ca: IssuingCA | None = None) -> ocsp.OCSPResponse:
        """Return the response about a serial number."""
        return ocsp.load_der_ocsp_response((await self.service.answer(self.request(number, nonce, ca))).der)


def answering(registry: Registry, terms: RevocationTerms | None = None, *crl_issuers: CRLIssuer) -> Answering:
    """Return the status service of a node for these CAs."""
    observed = Observed()
    cas = crl_issuers or (CRLIssuer(registry.ca),)
    service = StatusService(
        registry.authority,
        lambda: cas,
        Responders(registry.authority, CALLER.scope),
        terms or RevocationTerms(),
        observed,
    )
    return Answering(registry, service, observed)


@pytest.fixture
def registry() -> Registry:
    return new_registry()


@pytest.fixture
def node(registry: Registry) -> Answering:
    return answering(registry)


async def test_the_registry_is_what_is_told(registry: Registry, node: Answering) -> None:
    good, revoked, held, released = await registry.add(5, 6, 7, 8)
    await registry.set(revoked, REVOKED)
    await registry.set(held, INACTIVE)
    await registry.set(released, INACTIVE)
    await registry.set(released, ACTIVE)

    assert (await node.ask(5)).certificate_status is GOOD
    assert (await node.ask(6)).revocation_time_utc == registry.clock.now().replace(microsecond=0)
    assert (await node.ask(7)).revocation_reason is x509.ReasonFlags.certificate_hold
    assert (await node.ask(8)).certificate_status is GOOD
    assert (await node.ask(9)).certificate_status is UNKNOWN
    assert [status for status, _ in node.observed.answered] == ["good", "revoked", "revoked", "good", "unknown"]
    assert good.issuer_id == registry.ca.issuer_id


async def test_a_number_that_is_only_reserved_was_never_issued(registry: Registry, node: Answering) -> None:
    reservation = SerialReservation(registry.ca.issuer_id, SerialNumber(5), CALLER.scope)
    await registry.authority.store.write(lambda: reservation_table.reserve(reservation, registry.clock.now()))

    assert (await node.ask(5)).certificate_status is UNKNOWN


async def test_holds_can_be_left_out(registry: Registry) -> None:
    node = answering(registry, RevocationTerms(shows_holds=False))
    await registry.add(5, status=INACTIVE)

    assert (await node.ask(5)).certificate_status is GOOD


async def test_certificates_that_are_not_in_the_registry_may_be_known(registry: Registry) -> None:
    root = new_issuing_ca()
    node = answering(registry, None, CRLIssuer(registry.ca), CRLIssuer(root, frozenset({SerialNumber(77)})))

    assert (await node.ask(77, ca=root)).certificate_status is GOOD
    assert (await node.ask(78, ca=root)).certificate_status is UNKNOWN
    assert (await node.ask(77)).certificate_status is UNKNOWN


# The cache


async def test_the_same_request_gets_the_same_answer_until_something_changes(
    registry: Registry, node: Answering
) -> None:
    (certificate,) = await registry.add(5)
    request = node.request(5)
    publisher = new_publisher(registry).publisher
    publisher.forget = node.service.forget
    await publisher.turn()
    first = await node.service.answer(request)
    assert await node.service.answer(request) is first
    assert node.service.cached(request) is first
    await registry.set(certificate, REVOKED)
    await publisher.turn()

    assert node.service.cached(request) is None
    assert (await node.ask(5)).certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert node.observed.answered == [("good", False), ("good", True), ("good", True), ("revoked", False)]


async def test_answers_are_forgotten_when_anything_may_have_changed(registry: Registry, node: Answering) -> None:
    await registry.add(5)
    await node.ask(5)
    node.service.forget(None, None)

    assert node.service.cached(node.request(5)) is None


async def test_an_answer_is_signed_anew_when_half_of_its_time_has_passed(registry: Registry, node: Answering) -> None:
    await registry.add(5)
    first = await node.ask(5)
    registry.clock.go(minutes=29)
    assert (await node.ask(5)).this_update_utc == first.this_update_utc
    registry.clock.go(minutes=2)
    renewed = await node.ask(5)
    assert renewed.this_update_utc == registry.clock.now().replace(microsecond=0)
    assert renewed.next_update_utc == renewed.this_update_utc + timedelta(hours=1)
    registry.clock.go(days=-1)

    assert (await node.ask(5)).this_update_utc == registry.clock.now().replace(microsecond=0)


async def test_what_a_nonce_asks_for_is_signed_for_it_alone(registry: Registry, node: Answering) -> None:
    await registry.add(5)
    responses = [await node.ask(5, bytes(range(32))), await node.ask(5, bytes(range(32)))]

    assert responses[0].signature != responses[1].signature
    assert [cached for _, cached in node.observed.answered] == [False, False]


async def test_a_number_that_is_issued_later_is_not_unknown_any_more(registry: Registry, node: Answering) -> None:
    assert (await node.ask(5)).certificate_status is UNKNOWN
    await registry.add(5)

    assert (await node.ask(5)).certificate_status is GOOD


async def test_an_answer_that_was_overtaken_by_a_change_is_not_kept(registry: Registry) -> None:
    await registry.add(5)
    overtaken = Overtaken()
    registry.authority = replace(registry.authority, store=overtaken)
    node = answering(registry)
    await node.ask(6)
    await registry.add(5)
    overtaken.overtake = lambda: node.service.forget(registry.ca.issuer_id, SerialNumber(7))

    assert (await node.ask(5)).certificate_status is GOOD
    assert node.service.cached(node.request(5)) is None
    assert (await node.ask(5)).certificate_status is GOOD
    assert node.service.cached(node.request(5)) is not None


class Overtaken(MemoryStore):
    """A store in which something happens once while it is read."""

    overtake: Callable[[], None] | None = None

    async def read(self, program: Program[T]) -> T:
        """Read, and let it happen."""
        found = await super().read(program)
        happens, self.overtake = self.overtake, None
        if happens is not None:
            happens()
        return found


async def test_the_cache_has_a_limit(registry: Registry, node: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "MAX_CACHED", 2)
    await registry.add(5, 6, 7)
    for number in (5, 6, 7):
        await node.ask(number)

    assert [node.service.cached(node.request(number)) is not None for number in (5, 6, 7)] == [False, True, True]


def padded(request: bytes, octets: int) -> bytes:
    """Return the request of one certificate with an extension of so many octets that nobody knows."""
    builder = ocsp.OCSPRequestBuilder()
    asked = ocsp.load_der_ocsp_request(request)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(octets))
    return (
        builder.add_certificate_by_hash(
            asked.issuer_name_hash, asked.issuer_key_hash, asked.serial_number, hashes.SHA256()
        )
        .add_extension(unknown, critical=False)
        .build()
        .public_bytes(serialization.Encoding.DER)
    )


async def test_one_certificate_takes_little_of_the_cache(registry: Registry, node: Answering) -> None:
    await registry.add(5, 6)
    await node.ask(6)
    forms = [padded(node.request(5), octets) for octets in range(40)]
    for form in forms:
        await node.service.answer(form)
    await node.service.answer(padded(node.request(5), 600))

    assert sum(node.service.cached(form) is not None for form in forms) == 16
    assert node.service.cached(padded(node.request(5), 600)) is None
    assert node.service.cached(node.request(6)) is not None


async def test_the_oldest_of_several_forms_makes_way(
    registry: Registry, node: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "MAX_CACHED", 2)
    await registry.add(5)
    forms = [padded(node.request(5), octets) for octets in range(3)]
    for form in forms:
        await node.service.answer(form)

    assert [node.service.cached(form) is not None for form in forms] == [False, True, True]


# What is wrong


def refused(answer: StatusAnswer) -> ocsp.OCSPResponseStatus:
    assert answer.this_update is None
    return ocsp.load_der_ocsp_response(answer.der).response_status


async def test_what_is_no_request_is_malformed(node: Answering) -> None:
    assert refused(await node.service.answer(b"hello")) is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


async def test_a_request_about_another_issuer_is_not_answered(node: Answering) -> None:
    answer = await node.service.answer(node.request(5, ca=new_issuing_ca()))

    assert refused(answer) is ocsp.OCSPResponseStatus.UNAUTHORIZED


async def test_an_issuer_without_its_key_delegates_nothing(registry: Registry) -> None:
    without_key = IssuingCA(registry.ca.certificate, None)
    node = answering(registry, None, CRLIssuer(without_key))

    answer = await node.service.answer(node.request(5))

    assert refused(answer) is ocsp.OCSPResponseStatus.UNAUTHORIZED


async def test_without_the_database_a_client_is_asked_to_try_later(registry: Registry, node: Answering) -> None:
    await registry.add(5)
    await node.ask(5)
    store = registry.authority.store
    assert isinstance(store, MemoryStore)
    store.refuse_with = ServiceUnavailable("the database is gone")

    assert refused(await node.service.answer(node.request(6))) is ocsp.OCSPResponseStatus.TRY_LATER
    # What was signed before is still right: what changes it would need the database, too.
    assert (await node.ask(5)).certificate_status is GOOD


async def test_certificates_of_two_issuers_are_not_asked_about_together(registry: Registry) -> None:
    other = new_issuing_ca()
    node = answering(registry, None, CRLIssuer(registry.ca), CRLIssuer(other))
    together = together_in_one(node.request(5), node.request(6, ca=other))

    assert refused(await node.service.answer(together)) is ocsp.OCSPResponseStatus.UNAUTHORIZED


async def test_several_certificates_are_answered_together_and_not_cached(registry: Registry, node: Answering) -> None:
    await registry.add(5)
    together = together_in_one(node.request(5), node.request(6))

    response = ocsp.load_der_ocsp_response((await node.service.answer(together)).der)

    assert [each.certificate_status for each in response.responses] == [GOOD, UNKNOWN]
    assert node.service.cached(together) is None
    assert node.observed.answered == [("several", False)]


def together_in_one(*requests: bytes) -> bytes:
    listed = []
    for der in requests:
        tbs = children(der, children(der, only_element(der))[0])
        listed.append(der[tbs[-1].content : tbs[-1].end])
    return sequence(sequence(sequence(*listed)))


# Responders


async def test_a_responder_is_certified_once_and_the_audit_trail_has_its_number(
    registry: Registry, node: Answering
) -> None:
    first = await asyncio.gather(*(node.ask(number) for number in (5, 6, 7)))
    registry.clock.go(hours=20)
    again = await node.ask(5)
    registry.clock.go(hours=20)
    renewed = await node.ask(5)

    assert len({each.certificates[0] for each in (*first, again)}) == 1
    assert renewed.certificates[0] != again.certificates[0]
    listener = registry.authority.events
    assert isinstance(listener, Listener)
    assert [(entry.action, entry.detail["serial_number"]) for entry in listener.entries] == [
        ("IssueResponderCertificate", f"{each.certificates[0].serial_number:x}") for each in (again, renewed)
    ]


async def test_those_that_wait_for_a_responder_get_the_one_that_was_made_meanwhile(registry: Registry) -> None:
    responders = Responders(registry.authority, CALLER.scope)
    now = registry.clock.now()
    first, second = await asyncio.gather(*(responders.of(registry.ca, now) for _ in range(2)))

    assert first is second


async def test_a_node_whose_clock_is_wrong_certifies_no_responder(registry: Registry, node: Answering) -> None:
    registry.clock_is_right = False

    assert refused(await node.service.answer(node.request(5))) is ocsp.OCSPResponseStatus.TRY_LATER


async def test_no_answer_outlives_its_responder(registry: Registry) -> None:
    node = answering(registry, RevocationTerms(response_valid_for=timedelta(days=7)))
    response = await node.ask(5)

    assert response.next_update_utc == response.certificates[0].not_valid_after_utc
