"""Every certificate of a registry is verified: by its id, by its issuer of the service, or by its registered CA."""

import hashlib

import pytest
from tests.support.certificates.user_ca import der_of, new_ca
from tests.support.databases.log import CALLER, authority_on, issued
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import shared_issuers

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.issuance.foreign.certificate import load_foreign
from thingmint.registration.certificates.registered_certificates import register_without_ca
from thingmint.registration.recovery import signatures
from thingmint.registration.recovery.signatures import VerifiedSignatures, verify_signatures


async def verified(store: MemoryStore) -> VerifiedSignatures:
    told: list[int] = []
    found = await verify_signatures(store, [shared_issuers().active.ca.certificate], told.append)
    assert told == [len(store.tables.certificates)]
    return found


async def foreign(store: MemoryStore, pem: str) -> Certificate:
    return await register_without_ca(authority_on(store), CALLER, pem, CertificateStatus.ACTIVE)


async def test_right_signatures_are_counted_by_who_has_made_them(store: MemoryStore) -> None:
    ca, stranger = new_ca(), new_ca("Stranger")
    await issued(store, 2)
    of_ca = await foreign(store, certificate_pem(der_of(ca.issue("one"))))
    await foreign(store, certificate_pem(der_of(stranger.issue("two"))))
    await register_ca_row(store, der_of(ca.certificate), of_ca)
    found = await verified(store)
    assert (found.right, found.without_issuer, found.findings) == (3, 1, [])


async def test_what_is_wrong_is_named(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ca, impostor = new_ca(), new_ca()
    first, second, third, fourth = await issued(store, 4)
    of_impostor = await foreign(store, certificate_pem(der_of(impostor.issue("one"))))
    await register_ca_row(store, der_of(ca.certificate), of_impostor)
    store.execute("UPDATE certificate SET der = $1 WHERE certificate_id = $2", second.der, first.certificate_id)
    store.execute("UPDATE certificate SET issuer_id = 'gone' WHERE certificate_id = $1", third.certificate_id)
    noise = b"no certificate"
    digest = hashlib.sha256(noise).hexdigest()
    store.execute(
        "UPDATE certificate SET der = $1, certificate_id = $2 WHERE certificate_id = $3",
        noise,
        digest,
        fourth.certificate_id,
    )
    found = await verified(store)
    assert found.right == 1
    told = [text.partition(": ")[2] for text in found.findings]
    assert told[0] == "it is another certificate than its id says"
    assert told[1] == "its issuer gone is not there"
    assert told[2].startswith("it is not signed by ")
    assert told[3] == f"it is not signed by {load_foreign(der_of(ca.certificate), 'CA certificate').certificate_id}"
    monkeypatch.setattr(signatures, "MAX_FINDINGS", 2)
    assert len((await verified(store)).findings) == 2


async def register_ca_row(store: MemoryStore, der: bytes, certificate: Certificate) -> None:
    ca_id = load_foreign(der, "CA certificate").certificate_id
    store.execute(
        "INSERT INTO ca_certificate (account, region, certificate_id, subject_digest, status, mode, auto_registration, "
        "not_before, not_after, created_at, modified_at, customer_version, generation_id, der) "
        "VALUES ('111111111111', 'eu-west-1', $1, 'ab', 'ACTIVE', 'SNI_ONLY', 'DISABLE', 0, 0, 0, 0, 1, 'g', $2)",
        ca_id,
        der,
    )
    store.execute(
        "UPDATE certificate SET ca_certificate_id = $1 WHERE certificate_id = $2", ca_id, certificate.certificate_id
    )
