"""Certificates of users with any odd content, well signed or not: refused, or registered and described ever after.

A user who has a CA's key can sign anything. Whatever it is, nobody is answered that the service failed.
"""

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.certificates import der as asn1
from tests.support.certificates.user_ca import CA_EXTENSION, UserCA, key_usage, new_ca
from tests.support.machine.soak import examples
from tests.support.registration.api import Api, new_api
from tests.support.registration.authority import ACCOUNT, NOW, REGION, caller_with, new_authority

from thingmint.api.wire.errors import ErrorMap
from thingmint.core.certificates.certificate import CertificateMode
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import AccountId
from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.registration.certificates import ca_certificates
from thingmint.registration.certificates.auto_registration import FirstConnection, auto_register
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.kernel.authority import RegistrationAuthority

CA = new_ca(extensions=[CA_EXTENSION, (key_usage(key_cert_sign=True), True)])
LEAF = CA.issue("device")
CONNECTION = FirstConnection(REGION, ACCOUNT, "192.0.2.7", "request-9")
NAMED = CA.issue(
    "device",
    extensions=[
        (
            x509.SubjectAlternativeName([x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.TITLE, "sensor")]))]),
            False,
        )
    ],
)
_accounts = itertools.count(1)


def signed_again(tbs: bytes, ca: UserCA = CA) -> bytes:
    """Return a certificate with this content, signed by the CA, whatever the content is."""
    assert isinstance(ca.key, ec.EllipticCurvePrivateKey)
    algorithm = asn1.sequence(asn1.oid("1.2.840.10045.4.3.2"))
    return asn1.sequence(tbs, algorithm, asn1.bits(ca.key.sign(tbs, ec.ECDSA(hashes.SHA256()))))


@st.composite
def contents(draw: st.DrawFn, tbs: bytes, first: int) -> bytes:
    """Draw the content with some octets of its parts changed, from the first on: lengths mostly still fit."""
    changed = bytearray(tbs)
    start = children(tbs, only_element(tbs))[first].start
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(start, len(changed) - 1))
        changed[place] = draw(st.one_of(st.integers(0, 255), st.sampled_from([0x00, 0x05, 0x0C, 0x30, 0x7F, 0xFF])))
    return bytes(changed)


@pytest.fixture(scope="module")
def shared_api() -> Api:
    """One registry for all examples: each has an account to itself."""
    return new_api()


async def describe_or_refuse(
    api: Api, account: AccountId, target: str, body: dict[str, object], described: str
) -> None:
    """Register what the body holds; it is refused in AWS's words, or registered and described."""
    try:
        created = await api.call("POST", target, json.dumps(body).encode(), account=account)
    except ThingmintError as error:
        answer = ErrorMap().answer(error)
        assert answer.status in range(400, 500), answer
    else:
        found: Any = await api.call("GET", f"{described}/{created['certificateId']}", account=account)
        assert found["certificateDescription"]["certificateId"] == created["certificateId"]


# The validity is the fifth part, after version, serial number, algorithm and issuer, which must fit the CA.
# The library has TypeError for names that are bit strings, in the subject and in extensions.
@example(LEAF.tbs_certificate_bytes.replace(b"\x0c\x06device", b"\x03\x06device"))
@example(NAMED.tbs_certificate_bytes.replace(b"\x0c\x06sensor", b"\x03\x06sensor"))
@given(contents(LEAF.tbs_certificate_bytes, 4))
@settings(max_examples=examples(50, 600))
async def test_anything_that_a_ca_signed_is_registered_or_refused(shared_api: Api, tbs: bytes) -> None:
    account, pem = AccountId(f"{next(_accounts):012d}"), certificate_pem(signed_again(tbs))
    body: dict[str, object] = {"caCertificate": CA.pem, "certificateMode": "SNI_ONLY"}
    await shared_api.call("POST", "/cacertificate?setAsActive=true", json.dumps(body).encode(), account=account)
    for target in ("/certificate/register", "/certificate/register-no-ca"):
        await describe_or_refuse(shared_api, account, target, {"certificatePem": pem}, "/certificates")


@example(CA.certificate.tbs_certificate_bytes.replace(b"\x0c\nFactory CA", b"\x03\nFactory CA"))
@given(contents(CA.certificate.tbs_certificate_bytes, 0))
@settings(max_examples=examples(50, 600))
async def test_anything_is_registered_as_a_ca_or_refused(shared_api: Api, tbs: bytes) -> None:
    account, pem = AccountId(f"{next(_accounts):012d}"), certificate_pem(signed_again(tbs))
    body: dict[str, object] = {"caCertificate": pem, "certificateMode": "SNI_ONLY"}
    await describe_or_refuse(shared_api, account, "/cacertificate", body, "/cacertificate")
    # As a verification it is judged by its signature and its name.
    verified: dict[str, object] = {"caCertificate": CA.pem, "verificationCertificate": pem}
    await describe_or_refuse(shared_api, account, "/cacertificate", verified, "/cacertificate")


@pytest.fixture
async def open_authority() -> RegistrationAuthority:
    """An authority at which the CA registers devices at their first connection."""
    authority = new_authority()
    brought = CARegistration(CA.pem, None, CertificateMode.SNI_ONLY, active=True, auto_registration=True)
    await ca_certificates.register(authority, caller_with(), brought)
    return authority


@given(contents(LEAF.tbs_certificate_bytes, 4))
@settings(max_examples=examples(50, 600))
async def test_anything_that_a_device_presents_is_registered_or_refused(
    open_authority: RegistrationAuthority, tbs: bytes
) -> None:
    der = signed_again(tbs)
    try:
        done = await auto_register(open_authority, CONNECTION, der)
    except ThingmintError as error:
        assert ErrorMap().answer(error).status == 400  # noqa: PT017  what was refused is judged, not whether
    else:
        assert done is not None
        assert done.certificate.der == der


@pytest.mark.parametrize("member", ["caCertificate", "verificationCertificate"])
@given(text=st.text(max_size=100))
@settings(max_examples=examples(10, 50))
async def test_any_text_is_refused(shared_api: Api, member: str, text: str) -> None:
    body = {"caCertificate": CA.pem, "verificationCertificate": "x", member: text}
    with pytest.raises(ThingmintError) as refusal:
        await shared_api.call("POST", "/cacertificate", json.dumps(body).encode())
    assert ErrorMap().answer(refusal.value).status == 400


async def test_what_is_signed_again_unchanged_is_registered() -> None:
    """The mutations above start from something that passes."""
    api = new_api()
    body = {"certificatePem": certificate_pem(signed_again(LEAF.tbs_certificate_bytes))}
    created = await api.call("POST", "/certificate/register-no-ca", json.dumps(body).encode())
    answer = await api.call("GET", f"/certificates/{created['certificateId']}")
    validity = answer["certificateDescription"]["validity"]
    assert validity["notAfter"] == pytest.approx((NOW + timedelta(days=10)).timestamp(), abs=1)
