"""Lists follow the registry: entries, numbers, dates, several nodes, failures in the middle, clocks that jump."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from tests.support.certificates.revocation import Publishing, Registry, new_publisher, new_registry
from tests.support.certificates.signers import signing_process
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import new_issuing_ca

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.certificates.revocation_list import ListName
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_issuing_ca, create_root_ca
from thingmint.records.steps import Program
from thingmint.registration.kernel.ports import Store
from thingmint.registration.revocation import publisher as publisher_module
from thingmint.registration.revocation.parts import hexadecimal_digest
from thingmint.registration.revocation.terms import MOST_SHARDS, RevocationTerms

T = TypeVar("T")
ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
SPLIT = RevocationTerms(shard_entries=2, list_address=lambda name: f"http://a.example/{name.shards}-{name.shard}")


@pytest.fixture
def registry() -> Registry:
    return new_registry()


@pytest.fixture
def publishing(registry: Registry) -> Publishing:
    return new_publisher(registry)


def number_of(listed: x509.CertificateRevocationList) -> int:
    return listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


async def test_the_first_list_is_there_at_once_and_signed_by_the_issuer(
    registry: Registry, publishing: Publishing
) -> None:
    listed = await publishing.listed(registry.name)

    assert len(listed) == 0
    assert listed.is_signature_valid(registry.ca.certificate.public_key())  # type: ignore[arg-type]  # a key of a CA
    assert listed.last_update_utc == registry.clock.now().replace(microsecond=0)
    assert listed.next_update_utc == listed.last_update_utc + timedelta(days=1)
    assert [state.number for state in publishing.observed.given_out] == [number_of(listed)]


async def test_lists_follow_statuses(registry: Registry, publishing: Publishing) -> None:
    one, two, _ = await registry.add(5, 6, 7)
    assert await publishing.numbers(registry.name) == set()
    await registry.set(one, REVOKED)
    await registry.set(two, INACTIVE)
    assert await publishing.numbers(registry.name) == {5, 6}
    await registry.set(two, ACTIVE)
    assert await publishing.numbers(registry.name) == {5}


async def test_a_list_is_written_only_when_something_changes(registry: Registry, publishing: Publishing) -> None:
    (certificate,) = await registry.add(5)
    first = number_of(await publishing.listed(registry.name))
    assert number_of(await publishing.listed(registry.name)) == first
    await registry.set(certificate, REVOKED)
    second = number_of(await publishing.listed(registry.name))

    assert second > first
    assert publishing.observed.written == 2


async def test_a_hold_that_ended_before_anybody_looked_needs_no_list(
    registry: Registry, publishing: Publishing
) -> None:
    (certificate,) = await registry.add(5)
    first = number_of(await publishing.listed(registry.name))
    await registry.set(certificate, INACTIVE)
    await registry.set(certificate, ACTIVE)

    assert number_of(await publishing.listed(registry.name)) == first
    assert publishing.observed.forgotten[-1] == (registry.ca.issuer_id, 5)


async def test_holds_can_be_left_out(registry: Registry) -> None:
    publishing = new_publisher(registry, RevocationTerms(shows_holds=False))
    held, revoked = await registry.add(5, 6)
    await registry.set(held, INACTIVE)
    await registry.set(revoked, REVOKED)

    assert await publishing.numbers(registry.name) == {6}


async def test_a_list_is_renewed_when_half_of_its_time_has_passed(registry: Registry, publishing: Publishing) -> None:
    first = await publishing.listed(registry.name)
    registry.clock.go(hours=11)
    assert number_of(await publishing.listed(registry.name)) == number_of(first)
    registry.clock.go(hours=2)
    renewed = await publishing.listed(registry.name)

    assert number_of(renewed) > number_of(first)
    assert renewed.last_update_utc == registry.clock.now().replace(microsecond=0)


async def test_a_list_from_a_clock_that_was_ahead_is_replaced_under_a_higher_number(
    registry: Registry, publishing: Publishing
) -> None:
    registry.clock.go(days=365)
    ahead = await publishing.listed(registry.name)
    registry.clock.go(days=-365)
    right = await publishing.listed(registry.name)

    assert number_of(right) == number_of(ahead) + 1
    assert right.last_update_utc == registry.clock.now().replace(microsecond=0)


async def test_an_entry_stays_for_one_list_after_the_certificates_end(
    registry: Registry, publishing: Publishing
) -> None:
    await registry.add(5, status=INACTIVE, ends_in=timedelta(hours=1))
    await registry.add(6, status=INACTIVE)
    await publishing.publisher.turn()
    registry.clock.go(hours=13)
    # RFC 5280, 3.3: this one was issued after the end.
    assert await publishing.numbers(registry.name) == {5, 6}
    registry.clock.go(hours=13)

    assert await publishing.numbers(registry.name) == {6}


async def test_many_changes_are_one_list(registry: Registry, publishing: Publishing) -> None:
    await registry.add(*range(1, 200), status=INACTIVE)

    assert await publishing.numbers(registry.name) == set(range(1, 200))
    assert publishing.observed.written == 1


async def test_more_changes_than_are_told_of_are_found_all_the_same(
    registry: Registry, publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_MAX_CHANGES", 3)
    await publishing.publisher.turn()
    await registry.add(1, 2, 3, 4, 5, status=INACTIVE)

    assert await publishing.numbers(registry.name) == {1, 2, 3, 4, 5}
    assert publishing.observed.forgotten[-1][0] is not None
    assert (None, None) in publishing.observed.forgotten[1:]


# Parts


async def test_a_long_list_is_split_and_each_certificate_is_in_the_part_of_its_number(registry: Registry) -> None:
    publishing = new_publisher(registry, SPLIT)
    await registry.add(1, 2, 3, status=INACTIVE)
    await publishing.publisher.turn()
    shards = publishing.publisher.published.shards(registry.ca.issuer_id)

    assert shards == 2
    assert {each.serial_number for each in publishing.now_listed(ListName(registry.ca.issuer_id, 2, 0))} == {2}
    assert {each.serial_number for each in publishing.now_listed(ListName(registry.ca.issuer_id, 2, 1))} == {1, 3}
    assert {each.serial_number for each in publishing.now_listed(registry.name)} == {1, 2, 3}
    part = publishing.now_listed(ListName(registry.ca.issuer_id, 2, 1))
    scope = part.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    assert scope.full_name == [x509.UniformResourceIdentifier("http://a.example/2-1")]


async def test_only_the_part_that_changed_is_written_and_parts_stay_when_the_list_becomes_short(
    registry: Registry,
) -> None:
    publishing = new_publisher(registry, SPLIT)
    one, *_ = await registry.add(1, 2, 3, status=INACTIVE)
    await publishing.publisher.turn()
    before = {state.name: state.number for state in publishing.publisher.published.states()}
    await registry.set(one, ACTIVE)
    await publishing.publisher.turn()
    after = {state.name: state.number for state in publishing.publisher.published.states()}

    assert {name for name in after if after[name] != before[name]} == {
        registry.name,
        ListName(registry.ca.issuer_id, 2, 1),
    }


def test_lists_are_split_into_powers_of_two_up_to_a_limit() -> None:
    assert [SPLIT.shards_for(entries) for entries in (0, 2, 3, 4, 5, 9)] == [1, 1, 2, 2, 4, 8]
    assert SPLIT.shards_for(10**9) == MOST_SHARDS
    assert replace(SPLIT, list_address=None).shards_for(10**9) == 1


# Several issuers


async def test_every_issuer_has_a_list_of_its_own(registry: Registry) -> None:
    retired, without_key = new_issuing_ca(), IssuingCA(new_issuing_ca().certificate, None)
    publishing = new_publisher(registry, cas=(registry.ca, retired, without_key))
    await registry.add(5, status=INACTIVE)
    await publishing.publisher.turn()

    assert len(publishing.now_listed(registry.name)) == 1
    assert publishing.now_listed(ListName(retired.issuer_id)).issuer == retired.certificate.subject
    assert publishing.publisher.published.get(ListName(without_key.issuer_id)) is None
    found = publishing.publisher.published.complete((registry.ca.issuer_id, without_key.issuer_id))
    assert [each.state.name for each in found] == [registry.name]
    assert publishing.publisher.published.shards(without_key.issuer_id) == 1


async def test_after_its_end_an_issuer_writes_no_list(registry: Registry, publishing: Publishing) -> None:
    last = number_of(await publishing.listed(registry.name))
    registry.clock.at = registry.ca.not_after + timedelta(seconds=1)

    assert number_of(await publishing.listed(registry.name)) == last


async def test_an_issuer_whose_key_cannot_be_used_does_not_keep_others_from_their_lists(registry: Registry) -> None:
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = CertificateAuthority(create_root_ca(root_key, SerialNumber(1 << 100), registry.clock.now()), root_key)
    with signing_process() as signer:
        certificate = create_issuing_ca(root, signer.public_key, SerialNumber(1 << 101), registry.clock.now())
        elsewhere = IssuingCA(certificate, signer)
        publishing = new_publisher(registry, cas=(elsewhere, registry.ca))
        await registry.add(5, status=INACTIVE)
        signer.sign_something_else()
        await publishing.publisher.turn()
        await publishing.publisher.turn()
        assert len(publishing.now_listed(registry.name)) == 1
        assert publishing.observed.failed == [elsewhere.issuer_id] * 2
        ((level, event, fields),) = publishing.observed.log.lines
        assert (level, event) == ("warning", "revocation lists cannot be written")
        assert fields["cause"] == "ServiceUnavailable"

    with signing_process() as other:
        again = IssuingCA(
            create_issuing_ca(root, other.public_key, SerialNumber(1 << 101), registry.clock.now()), other
        )
        later = new_publisher(registry, cas=(again, registry.ca))
        assert len(await later.listed(ListName(again.issuer_id))) == 0


# Failures


async def test_what_could_not_be_stored_is_written_in_the_next_turn(registry: Registry, publishing: Publishing) -> None:
    (certificate,) = await registry.add(5)
    first = await publishing.listed(registry.name)
    await registry.set(certificate, REVOKED)
    store = registry.authority.store
    assert isinstance(store, MemoryStore)
    store.lose_commit_with = ServiceUnavailable("the disk is full")
    await publishing.publisher.turn()
    assert publishing.observed.failed == [registry.ca.issuer_id]
    assert publishing.now_listed(registry.name) == first
    store.lose_commit_with = None

    assert await publishing.numbers(registry.name) == {5}


async def test_a_list_that_could_not_be_stored_is_tried_again_although_nothing_changes(
    registry: Registry, publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    (certificate,) = await registry.add(5)
    await publishing.publisher.turn()
    await registry.set(certificate, REVOKED)
    monkeypatch.setattr(publisher_module, "sign_list", refuse_to_sign)
    await publishing.publisher.turn()
    assert len(publishing.now_listed(registry.name)) == 0
    monkeypatch.undo()

    assert await publishing.numbers(registry.name) == {5}
    failure, end = publishing.observed.log.lines
    assert failure[:2] == ("warning", "revocation lists cannot be written")
    assert failure[2]["cause"] == "ServiceUnavailable"
    assert end[:2] == ("info", "revocation lists are written again")


async def refuse_to_sign(*arguments: object) -> bytes:
    raise ServiceUnavailable("the token is gone")


async def test_a_node_whose_clock_is_wrong_writes_nothing(registry: Registry, publishing: Publishing) -> None:
    registry.clock_is_right = False

    with pytest.raises(ServiceUnavailable):
        await publishing.publisher.turn()
    assert publishing.publisher.published.states() == ()


async def test_a_failure_is_told_once_and_so_is_its_end(
    registry: Registry, publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "TURN_SECONDS", 0.0)
    registry.clock_is_right = False
    running = asyncio.create_task(publishing.publisher.run())
    while not publishing.observed.log.lines:  # noqa: ASYNC110  what is watched sets no event
        await asyncio.sleep(0)
    registry.clock_is_right = True
    while not publishing.observed.written:  # noqa: ASYNC110  as above
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    failure, end = publishing.observed.log.lines
    assert failure[:2] == ("warning", "revocation lists cannot be written")
    assert failure[2]["cause"] == "ServiceUnavailable"
    assert end[:2] == ("info", "revocation lists are written again")


async def test_lists_rest_for_as_long_as_they_took(registry: Registry) -> None:
    publishing = new_publisher(registry)
    # Each list takes two seconds.
    moments = iter([0.0, 0.0, 0.0, 2.0, 2.0])
    publishing.publisher.seconds = lambda: next(moments)
    await publishing.publisher.turn()
    await registry.add(5, status=INACTIVE)
    publishing.publisher.seconds = lambda: 3.9
    assert await publishing.numbers(registry.name) == set()
    publishing.publisher.seconds = lambda: 4.0

    assert await publishing.numbers(registry.name) == {5}


async def test_digests_of_long_lists_are_the_same() -> None:
    pieces = [bytes(700_000), b"x" * 700_000]

    assert await hexadecimal_digest(pieces) == hashlib.sha256(b"".join(pieces)).hexdigest()


async def test_a_node_that_loses_the_lease_meanwhile_writes_nothing(shared: Registry) -> None:
    one, two = new_publisher(shared, owner="one"), new_publisher(shared, owner="two")
    await one.publisher.turn()
    await two.publisher.turn()
    await shared.add(5, status=INACTIVE)
    shared.clock.go(seconds=11)
    overtaken = Overtaken(shared.authority.store, one.publisher.turn, at_read=0)
    two.publisher.authority = replace(shared.authority, store=cast("Store", overtaken))
    await two.publisher.turn()

    assert (one.observed.written, two.observed.written) == (2, 0)


# Several nodes


@pytest.fixture
def shared(store: Store) -> Registry:
    return new_registry(store)


async def test_one_of_two_nodes_writes_and_both_give_out_the_same(shared: Registry) -> None:
    one, two = new_publisher(shared, owner="one"), new_publisher(shared, owner="two")
    await shared.add(5, status=INACTIVE)
    await one.publisher.turn()
    await two.publisher.turn()
    await shared.add(6, status=INACTIVE)
    await two.publisher.turn()
    assert len(two.now_listed(shared.name)) == 1
    await one.publisher.turn()
    await two.publisher.turn()

    assert one.now_listed(shared.name) == two.now_listed(shared.name)
    assert len(one.now_listed(shared.name)) == 2
    assert (one.observed.written, two.observed.written) == (2, 0)


async def test_another_node_goes_on_where_one_was_killed(shared: Registry) -> None:
    one, two = new_publisher(shared, owner="one"), new_publisher(shared, owner="two")
    await two.publisher.turn()
    await one.publisher.turn()
    await shared.add(5, status=INACTIVE)
    await one.publisher.turn()
    assert len(one.now_listed(shared.name)) == 0
    shared.clock.go(seconds=11)

    assert await one.numbers(shared.name) == {5}
    assert number_of(one.now_listed(shared.name)) > number_of(two.now_listed(shared.name))


async def test_a_node_that_takes_over_writes_nothing_that_is_there(shared: Registry) -> None:
    one, two = new_publisher(shared, owner="one"), new_publisher(shared, owner="two")
    await shared.add(5, status=INACTIVE)
    await one.publisher.turn()
    shared.clock.go(seconds=11)
    await two.publisher.turn()

    assert two.observed.written == 0
    assert two.now_listed(shared.name) == one.now_listed(shared.name)


async def test_two_nodes_that_both_believe_to_have_the_lease_write_one_list_with_each_number(
    shared: Registry,
) -> None:
    one, two = new_publisher(shared, owner="same"), new_publisher(shared, owner="same")
    await one.publisher.turn()
    await two.publisher.turn()
    await shared.add(5, status=INACTIVE)
    await asyncio.gather(one.publisher.turn(), two.publisher.turn())
    await asyncio.gather(one.publisher.turn(), two.publisher.turn())

    assert one.now_listed(shared.name) == two.now_listed(shared.name)
    assert {each.serial_number for each in one.now_listed(shared.name)} == {5}


@dataclass
class Overtaken:
    """A store in which another node comes first: before a read of this number or, without one, before each write."""

    store: Store
    replace: Callable[[], Awaitable[object]]
    at_read: int = 2
    reads: int = 0

    async def read(self, program: Program[T]) -> T:
        self.reads += 1
        if self.reads == self.at_read:
            await self.replace()
        return await self.store.read(program)

    async def write(self, program: Program[T]) -> T:
        if self.at_read == 0:
            await self.replace()
        return await self.store.write(program)


async def test_a_list_that_is_replaced_while_it_is_fetched_is_found_at_the_next_look(shared: Registry) -> None:
    writer = new_publisher(shared)
    await writer.publisher.turn()

    async def renew() -> None:
        shared.clock.go(hours=13)
        await writer.publisher.turn()

    reader = new_publisher(shared, owner="reader").publisher.published
    overtaken = cast("Store", Overtaken(shared.authority.store, renew))
    await reader.read(overtaken)
    assert reader.get(shared.name) is None
    await reader.read(overtaken)

    published = reader.get(shared.name)
    assert published is not None
    assert published.state.number == number_of(writer.now_listed(shared.name))
