"""What was revoked and deleted stays away until its own end, unless an operator brings it back."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec.structs import replace
from tests.support.certificates.encodings import (
    P384_ORDER,
    P521_ORDER,
    negated,
    with_larger_number,
    with_larger_rsa_number,
    with_leading_zero,
    with_long_length,
    with_parameters,
    with_trailing_octet,
    with_unused_bits,
    without_leading_zeros,
)
from tests.support.certificates.entrances import (
    CALLER,
    CONNECTION,
    INACTIVE,
    OTHER,
    Enter,
    by_connecting,
    by_template,
    open_ca,
    revoked_and_deleted,
    with_ca,
    without_ca,
)
from tests.support.certificates.user_ca import CAKey, UserCA, der_of, new_ca, pem_of
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.registration.certificates import certificates
from thingmint.registration.certificates.auto_registration import auto_register
from thingmint.registration.certificates.signed_certificates import sweep_revoked_certificates
from thingmint.registration.kernel.authority import RegistrationAuthority


async def test_what_was_revoked_and_deleted_does_not_come_back_by_itself(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    issued = ca.issue(serial_number=5)
    await revoked_and_deleted(authority, await with_ca(authority, pem_of(issued)))
    before = store.tables.dump()
    again = ca.issue("renewed under the same number", serial_number=5)
    for der in (der_of(issued), negated(der_of(issued)), der_of(again)):
        with pytest.raises(CertificateInvalid, match="was revoked before it was deleted"):
            await auto_register(authority, CONNECTION, der)
    assert store.tables.dump() == before
    assert await auto_register(authority, CONNECTION, der_of(ca.issue())) is not None


def other_spellings(ca: UserCA, der: bytes) -> Iterator[bytes]:
    """Yield what the certificate's holder can make of the CA's signature, each as valid or nearly so."""
    if isinstance(ca.key, rsa.RSAPrivateKey):
        yield with_larger_rsa_number(der, ca.key.public_key().public_numbers().n)
        yield from (with_leading_zero(der), without_leading_zeros(der))
        yield from filter(None, [with_unused_bits(der)])
    elif isinstance(ca.key, ec.EllipticCurvePrivateKey):
        order = {"secp384r1": P384_ORDER, "secp521r1": P521_ORDER}[ca.key.curve.name]
        yield from (negated(der, order), with_larger_number(der, order))
    yield from (with_parameters(der), with_long_length(der), with_trailing_octet(der))


@pytest.mark.parametrize("kind", ["P-384", "P-521", "RSA", "RSA-PSS"])
@pytest.mark.parametrize("fate", ["REVOKED", "INACTIVE", "deleted"])
async def test_no_spelling_of_any_signature_brings_a_device_back(
    authority: RegistrationAuthority, store: MemoryStore, kind: str, fate: str
) -> None:
    key: CAKey = (
        ec.generate_private_key(ec.SECP384R1() if kind == "P-384" else ec.SECP521R1())
        if kind.startswith("P-")
        else rsa.generate_private_key(65537, 2048)
    )
    ca = new_ca(key=key)
    await open_ca(authority, ca)
    issued = ca.issue(pss=kind == "RSA-PSS")
    certificate = await with_ca(authority, pem_of(issued))
    if fate == "deleted":
        await revoked_and_deleted(authority, certificate)
    else:
        status = CertificateStatus(fate)
        await certificates.update_status(authority, CALLER, certificate.certificate_id, status)
    before = store.tables.dump()
    for der in other_spellings(ca, der_of(issued)):
        if der != der_of(issued):
            # None: the signature is not the CA's any more.
            with contextlib.suppress(CertificateInvalid):
                assert await auto_register(authority, CONNECTION, der) is None
    assert store.tables.dump() == before


async def test_what_was_revoked_for_one_account_alone_is_no_others_matter(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    for caller in (CALLER, OTHER):
        await open_ca(authority, ca, caller, default=False)
    issued = ca.issue()
    await revoked_and_deleted(authority, await with_ca(authority, pem_of(issued)))
    assert await auto_register(authority, replace(CONNECTION, account=OTHER.account), der_of(issued)) is not None
    with pytest.raises(CertificateInvalid):
        await auto_register(authority, replace(CONNECTION, account=CALLER.account), der_of(issued))


@pytest.mark.parametrize("enter", [with_ca, without_ca, by_template])
async def test_an_operator_brings_back_what_was_revoked_and_deleted(
    authority: RegistrationAuthority, store: MemoryStore, enter: Enter
) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    issued = ca.issue()
    await revoked_and_deleted(authority, await with_ca(authority, pem_of(issued)))
    await enter(authority, pem_of(issued))
    assert not store.tables.rows("revoked_certificate")


async def test_what_was_inactive_and_deleted_comes_back_as_at_aws(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    issued = ca.issue()
    present = await with_ca(authority, pem_of(issued))
    await certificates.update_status(authority, CALLER, present.certificate_id, INACTIVE)
    await certificates.delete(authority, CALLER, present.certificate_id)
    assert await by_connecting(authority, pem_of(issued))


async def test_a_certificate_of_the_service_is_remembered_as_well(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    issued = (await certificates.issue_with_new_key(authority, CALLER, active=True)).certificate
    await revoked_and_deleted(authority, issued)
    ((_, account, *_),) = store.tables.rows("revoked_certificate")
    assert account == CALLER.account
    # Twice revoked and deleted is remembered once.
    await revoked_and_deleted(authority, await without_ca(authority, certificate_pem(issued.der)))
    assert len(store.tables.rows("revoked_certificate")) == 1


async def test_revoked_certificates_are_forgotten_when_they_end(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    for _ in range(3):
        await revoked_and_deleted(authority, await without_ca(authority, new_ca().issue_pem()))
    assert await sweep_revoked_certificates(authority, 10) == 0

    class LaterClock:
        def now(self) -> object:
            return NOW + timedelta(days=11)

    later = replace(authority, clock=LaterClock())
    assert await sweep_revoked_certificates(later, 2) == 2
    assert await sweep_revoked_certificates(later, 2) == 1
    assert not store.tables.rows("revoked_certificate")
