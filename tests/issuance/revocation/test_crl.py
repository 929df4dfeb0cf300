"""Revocation lists say what they are meant to, as `cryptography` and OpenSSL read them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.issuance.conftest import NOW, Authorities
from tests.support.certificates.signers import at_once, signing_process

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_issuing_ca, create_root_ca
from thingmint.issuance.revocation.crl import ListTerms, encode_entries, sign_list, signs_lists
from thingmint.signers.file_key import FileKeySigner

SECOND = NOW.replace(microsecond=0)
TERMS = ListTerms(4711, SECOND, SECOND + timedelta(days=1))


def revocation(number: int, reason: RevocationReason = RevocationReason.UNSPECIFIED) -> Revocation:
    return Revocation("ab" * 32, SerialNumber(number), reason, NOW, NOW + timedelta(days=9))


def ca_of(authority: CertificateAuthority) -> IssuingCA:
    return IssuingCA(authority.certificate, FileKeySigner(authority.private_key))


def signed(ca: IssuingCA, terms: ListTerms, *entries: bytes) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(at_once(sign_list(ca, terms, entries)))


def test_a_list_has_what_rfc_5280_asks_for(authorities: Authorities) -> None:
    ca = ca_of(authorities.issuing)

    listed = signed(ca, TERMS, encode_entries([revocation(1), revocation(1 << 158, RevocationReason.KEY_COMPROMISE)]))

    assert listed.issuer == ca.certificate.subject
    assert (listed.last_update_utc, listed.next_update_utc) == (TERMS.this_update, TERMS.next_update)
    assert [extension.value for extension in listed.extensions] == [
        x509.AuthorityKeyIdentifier(ca.key_identifier, None, None),
        x509.CRLNumber(4711),
    ]
    assert not any(extension.critical for extension in listed.extensions)
    assert listed.is_signature_valid(ca.certificate.public_key())  # type: ignore[arg-type]  # a key that signs lists
    first, second = listed
    assert (first.serial_number, first.revocation_date_utc, len(first.extensions)) == (1, SECOND, 0)
    assert second.serial_number == 1 << 158
    reason = second.extensions.get_extension_for_class(x509.CRLReason)
    assert (reason.value.reason, reason.critical) == (x509.ReasonFlags.key_compromise, False)


@pytest.mark.parametrize("reason", [each for each in RevocationReason if each is not RevocationReason.UNSPECIFIED])
def test_every_reason_is_told(authorities: Authorities, reason: RevocationReason) -> None:
    (entry,) = signed(ca_of(authorities.issuing), TERMS, encode_entries([revocation(5, reason)]))

    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value == reason.word


def test_a_list_without_entries_has_no_list_of_entries(authorities: Authorities) -> None:
    listed = signed(ca_of(authorities.issuing), TERMS)

    assert len(listed) == 0
    assert encode_entries([]) == b""
    # RFC 5280, 5.1.2.6: the field is absent, and is not an empty sequence.
    assert_built_alike(authorities.issuing, listed)


def assert_built_alike(authority: CertificateAuthority, listed: x509.CertificateRevocationList) -> None:
    """Fail unless the signed part is the one that `cryptography` builds with all entries at once."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(listed.issuer)
    builder = builder.last_update(TERMS.this_update).next_update(TERMS.next_update)
    for extension in listed.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    for entry in listed:
        # Anew: an entry that was read may keep its bytes.
        again = x509.RevokedCertificateBuilder().serial_number(entry.serial_number)
        again = again.revocation_date(entry.revocation_date_utc)
        for extension in entry.extensions:
            again = again.add_extension(extension.value, extension.critical)
        builder = builder.add_revoked_certificate(again.build())
    assert builder.sign(authority.private_key, hashes.SHA256()).tbs_certlist_bytes == listed.tbs_certlist_bytes


@pytest.mark.parametrize("first", [1, 1 << 140, (1 << 159) - 300])
def test_lists_are_byte_for_byte_those_of_cryptography(authorities: Authorities, first: int) -> None:
    reasons = list(RevocationReason)
    entries = encode_entries([revocation(first + number, reasons[number % len(reasons)]) for number in range(300)])

    assert_built_alike(authorities.issuing, signed(ca_of(authorities.issuing), TERMS, entries[:500], entries[500:]))


def test_a_part_names_where_it_is_and_that_it_is_of_devices(authorities: Authorities) -> None:
    terms = replace(TERMS, distribution_point="http://pki.example.com/crl/x/2-1.crl")

    scope = signed(ca_of(authorities.issuing), terms).extensions.get_extension_for_class(x509.IssuingDistributionPoint)

    assert scope.critical
    assert scope.value.full_name == [x509.UniformResourceIdentifier("http://pki.example.com/crl/x/2-1.crl")]
    assert scope.value.only_contains_user_certs


def test_dates_after_2049_are_in_the_longer_form(authorities: Authorities) -> None:
    late = datetime(2050, 1, 1, tzinfo=UTC)
    terms = ListTerms(1, late, late + timedelta(days=1))
    ended = replace(revocation(3), revoked_at=late)

    (entry,) = listed = signed(ca_of(authorities.issuing), terms, encode_entries([ended]))

    assert listed.last_update_utc == entry.revocation_date_utc == late


def test_an_rsa_issuer_signs_lists(rsa_key: rsa.RSAPrivateKey) -> None:
    ca = ca_of(CertificateAuthority(create_root_ca(rsa_key, SerialNumber(7), NOW), rsa_key))

    listed = signed(ca, TERMS, encode_entries([revocation(5)]))

    assert listed.is_signature_valid(rsa_key.public_key())


def test_an_issuer_without_its_key_signs_none(authorities: Authorities) -> None:
    with pytest.raises(IssuerUnfit, match="missing"):
        at_once(sign_list(IssuingCA(authorities.issuing.certificate, None), TERMS, []))


def test_an_issuer_that_may_not_sign_lists_signs_none(ec_key: ec.EllipticCurvePrivateKey) -> None:
    usage = x509.KeyUsage(*[each == 5 for each in range(9)])
    name = x509.Name.from_rfc4514_string("CN=foreign")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(ec_key.public_key())
        .serial_number(9)
        .not_valid_before(SECOND)
        .not_valid_after(SECOND + timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier(b"12345678"), critical=False)
        .sign(ec_key, hashes.SHA256())
    )
    ca = IssuingCA(certificate, FileKeySigner(ec_key))

    assert not signs_lists(ca)
    with pytest.raises(IssuerUnfit, match="may not sign"):
        at_once(sign_list(ca, TERMS, []))


async def test_a_signature_from_elsewhere_that_does_not_verify_is_refused() -> None:
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = CertificateAuthority(create_root_ca(root_key, SerialNumber(1 << 100), NOW), root_key)
    with signing_process() as signer:
        ca = IssuingCA(create_issuing_ca(root, signer.public_key, SerialNumber(1 << 101), NOW), signer)
        right = x509.load_der_x509_crl(await sign_list(ca, TERMS, []))
        assert right.is_signature_valid(signer.public_key)
        signer.sign_something_else()

        with pytest.raises(ServiceUnavailable, match="does not verify"):
            await sign_list(ca, TERMS, [])


def test_an_rsa_signature_of_something_else_is_refused(rsa_key: rsa.RSAPrivateKey) -> None:
    class Other(FileKeySigner):
        async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
            return await super().sign(content + b"!", algorithm)

    certificate = create_root_ca(rsa_key, SerialNumber(7), NOW)

    with pytest.raises(ServiceUnavailable, match="does not verify"):
        at_once(sign_list(IssuingCA(certificate, Other(rsa_key)), TERMS, []))
