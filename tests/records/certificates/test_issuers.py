"""The issuers of all certificates of the registry are found without reading every certificate."""

from dataclasses import replace

from tests.support.databases.stores import OTHER_SCOPE, insert, sample_certificate

from thingmint.records.certificates.issuers import issuer_ids
from thingmint.registration.kernel.ports import Store


async def test_each_issuer_is_named_once(store: Store) -> None:
    assert await store.read(issuer_ids) == []
    first = sample_certificate(1)
    others = [
        replace(sample_certificate(2, scope=OTHER_SCOPE), issuer_id="cd" * 32),
        replace(sample_certificate(3), issuer_id=None),
    ]
    await insert(store, first, sample_certificate(4), *others)
    assert await store.read(issuer_ids) == [first.issuer_id, "cd" * 32]
