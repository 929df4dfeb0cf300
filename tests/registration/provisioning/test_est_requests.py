"""Requests of EST clients in DER: what they ask is done, or refused before anything is issued."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import new_authority, with_own_ids
from tests.support.registration.fleet import FLEET, OPERATOR, USUAL, create_template

from thingmint.core.errors import InvalidRequest
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.enrollment import Enrollee
from thingmint.registration.provisioning.est_requests import server_keygen, simple_enroll, simple_reenroll

BY_KEY = Enrollee(OPERATOR)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "17")])
# RFC 7030, 4.4.1.1: the client asks for the private key to be encrypted by a key that both sides have.
DECRYPT_KEY_ID = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.37")


@pytest.fixture
def authority(store: MemoryStore) -> RegistrationAuthority:
    return with_own_ids(new_authority(store))


def builder() -> x509.CertificateSigningRequestBuilder:
    return x509.CertificateSigningRequestBuilder(NAME)


def der(request: x509.CertificateSigningRequestBuilder) -> bytes:
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


async def test_certificate_has_the_subject_and_the_key_of_the_request(authority: RegistrationAuthority) -> None:
    request = der(builder())
    certificate = x509.load_der_x509_certificate((await simple_enroll(authority, BY_KEY, request, None)).der)
    asked = x509.load_der_x509_csr(request)
    assert (certificate.subject, certificate.public_key()) == (asked.subject, asked.public_key())


async def test_new_key_belongs_to_the_certificate(authority: RegistrationAuthority) -> None:
    certificate, private_key = await server_keygen(authority, BY_KEY, der(builder()), None)
    issued = x509.load_der_x509_certificate(certificate.der)
    assert serialization.load_der_private_key(private_key, None).public_key() == issued.public_key()
    assert issued.subject == NAME


async def test_key_that_is_to_be_encrypted_is_refused(authority: RegistrationAuthority, store: MemoryStore) -> None:
    request = der(builder().add_attribute(DECRYPT_KEY_ID, b"key"))
    with pytest.raises(InvalidRequest, match="encrypt"):
        await server_keygen(authority, BY_KEY, request, None)
    assert store.tables.certificates == []


async def test_certificate_is_renewed(authority: RegistrationAuthority) -> None:
    await create_template(authority, USUAL)
    old = await simple_enroll(authority, BY_KEY, der(builder()), FLEET)
    new = await simple_reenroll(authority, OPERATOR, old.certificate_id, der(builder()), may_provision=False)
    assert x509.load_der_x509_certificate(new.der).subject == NAME
    assert new.certificate_id != old.certificate_id


async def test_renewal_with_a_subject_alternative_name_is_refused(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    old = await simple_enroll(authority, BY_KEY, der(builder()), None)
    request = der(builder().add_extension(x509.SubjectAlternativeName([x509.DNSName("lamp")]), critical=False))
    with pytest.raises(InvalidRequest, match="subjectAltName"):
        await simple_reenroll(authority, OPERATOR, old.certificate_id, request, may_provision=False)
    assert store.tables.certificates == [old]


async def test_request_that_cannot_be_read_is_refused(authority: RegistrationAuthority, store: MemoryStore) -> None:
    with pytest.raises(InvalidRequest):
        await simple_enroll(authority, BY_KEY, b"0", None)
    assert store.tables.certificates == []
