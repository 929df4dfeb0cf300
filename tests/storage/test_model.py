"""The store against a dictionary: whatever the order of verbs, both know the same certificates in the same order."""

import itertools
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.databases.stores import SCOPE, changed, delete, fetch, insert, page, sample_certificate
from tests.support.machine.soak import examples

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import DuplicateCertificate
from thingmint.core.identifiers import Region, Scope
from thingmint.core.paging import PageKey
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.kernel.ports import Store

_examples = itertools.count()


@dataclass(frozen=True, slots=True)
class Insert:
    number: int


@dataclass(frozen=True, slots=True)
class Update:
    number: int
    status: CertificateStatus
    stale: bool


@dataclass(frozen=True, slots=True)
class Delete:
    number: int
    stale: bool


Step = Insert | Update | Delete

numbers = st.integers(0, 5)
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Insert, numbers),
        st.builds(Update, numbers, st.sampled_from(CertificateStatus), st.booleans()),
        st.builds(Delete, numbers, st.booleans()),
    ),
    max_size=25,
)


@dataclass(slots=True)
class Model:
    """What the store should know: certificates by number, in the order of their insertion."""

    scope: Scope
    known: dict[int, Certificate]

    def sample(self, number: int) -> Certificate:
        return replace(sample_certificate(number, scope=self.scope), issuer_id=self.scope.region)

    def presented(self, number: int, *, stale: bool) -> Certificate:
        """Return the version that a caller presents: the present one, or one that never was."""
        certificate = self.known.get(number, self.sample(number))
        return replace(certificate, customer_version=certificate.customer_version + 100) if stale else certificate

    async def apply(self, store: Store, step: Step) -> None:
        """Take the step on both sides and compare what the store says."""
        match step:
            case Insert(number):
                await self._insert(store, number)
            case Update(number, status, stale):
                before = self.presented(number, stale=stale)
                after = changed(before, status)
                hit = await store.write(lambda: certificate_table.update_certificate(before, after))
                assert hit == (number in self.known and not stale)
                if hit:
                    self.known[number] = after
            case Delete(number, stale):
                hit = await delete(store, self.presented(number, stale=stale))
                assert hit == (number in self.known and not stale)
                if hit:
                    del self.known[number]

    async def _insert(self, store: Store, number: int) -> None:
        certificate = self.sample(number)
        try:
            await insert(store, certificate)
        except DuplicateCertificate:
            assert number in self.known
        else:
            assert number not in self.known
            self.known[number] = certificate


@given(steps=steps, size=st.integers(1, 4))
# One store serves all examples: each of them has a region to itself.
@settings(max_examples=examples(10, 40))
async def test_the_store_knows_what_a_dictionary_knows(store: Store, steps: list[Step], size: int) -> None:
    model = Model(Scope(SCOPE.account, Region(f"region-{next(_examples)}")), {})
    for step in steps:
        await model.apply(store, step)
    for number in range(6):
        assert await fetch(store, model.sample(number)) == model.known.get(number)
    expected = [certificate.certificate_id for certificate in model.known.values()]
    assert await listed(store, model.scope, size, ascending=True) == expected
    assert await listed(store, model.scope, size, ascending=False) == expected[::-1]


async def listed(store: Store, scope: Scope, size: int, *, ascending: bool) -> list[str]:
    """Return the whole list, read page by page."""
    found: list[str] = []
    after: PageKey | None = None
    while summaries := await page(store, size, after=after, ascending=ascending, scope=scope):
        found += [summary.certificate_id for summary in summaries]
        after = PageKey(summaries[-1].position)
    return found
