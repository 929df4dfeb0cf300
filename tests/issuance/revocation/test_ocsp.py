"""OCSP requests are read and responses signed as RFC 6960 and 9654 say; what is no request is refused as such."""

import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st
from tests.issuance.conftest import NOW, Authorities
from tests.support.certificates.der import context, integer, octets, oid, sequence, tlv
from tests.support.certificates.signers import at_once

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.revocation.ocsp import (
    MAX_CERTIFICATES,
    CertificateName,
    CertificateStanding,
    MalformedRequest,
    OCSPResponder,
    ResponseTerms,
    issuer_names,
    read_request,
    refusal,
)
from thingmint.issuance.revocation.responder_certificate import issue_responder_certificate
from thingmint.signers.file_key import FileKeySigner

SECOND = NOW.replace(microsecond=0)
TERMS = ResponseTerms(SECOND, SECOND + timedelta(hours=1))
SHA1, SHA256 = "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1"
NONCE = "1.3.6.1.5.5.7.48.1.2"
NULL = b"\x05\x00"


def certificate_id(number: int, algorithm: str = SHA1, digest: bytes = bytes(20)) -> bytes:
    return sequence(sequence(oid(algorithm), NULL), octets(digest), octets(digest), integer(number))


def request_of(*ids: bytes, before: bytes = b"", extensions: tuple[bytes, ...] = ()) -> bytes:
    listed = sequence(*(sequence(each) for each in ids))
    behind = context(2, sequence(*extensions)) if extensions else b""
    return sequence(sequence(before, listed, behind))


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return sequence(oid(dotted), tlv(0x01, b"\xff") if critical else b"", octets(value))


@pytest.fixture(scope="module")
def ca(authorities: Authorities) -> IssuingCA:
    return IssuingCA(authorities.issuing.certificate, FileKeySigner(authorities.issuing.private_key))


@pytest.fixture(scope="module")
def responder(ca: IssuingCA) -> OCSPResponder:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = at_once(issue_responder_certificate(ca, key.public_key(), SerialNumber(1 << 99), NOW))
    return OCSPResponder(certificate, key)


def name(ca: IssuingCA, number: int, algorithm: str = "sha256") -> CertificateName:
    (found,) = [each for each in issuer_names(ca) if each[0] == algorithm]
    return CertificateName(*found, SerialNumber(number))


def revocation(reason: RevocationReason) -> Revocation:
    return Revocation("ab" * 32, SerialNumber(1), reason, NOW, NOW)


# Requests


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])
def test_a_request_names_issuer_and_number(
    ca: IssuingCA, authorities: Authorities, algorithm: hashes.SHA1 | hashes.SHA256
) -> None:
    builder = ocsp.OCSPRequestBuilder().add_certificate(ca.certificate, authorities.root.certificate, algorithm)
    asked = read_request(builder.build().public_bytes(serialization.Encoding.DER))

    (only,) = asked.names
    root = IssuingCA(authorities.root.certificate, None)
    assert only.issuer in issuer_names(root)
    assert only.serial_number == ca.certificate.serial_number
    assert asked.nonce is None


def test_the_digests_are_of_the_name_and_of_the_bits_of_the_key(ca: IssuingCA) -> None:
    spki = ca.certificate.public_key()
    point = spki.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    assert issuer_names(ca)[0] == (
        "sha1",
        hashlib.sha1(ca.certificate.subject.public_bytes()).digest(),
        hashlib.sha1(point).digest(),
    )


def test_a_request_may_name_several_certificates() -> None:
    several = [certificate_id(number) for number in range(1, MAX_CERTIFICATES + 1)]

    asked = read_request(
        request_of(*several, before=context(1, tlv(0x82, b"device")), extensions=(extension(NONCE, octets(b"n")),))
    )

    assert [each.serial_number for each in asked.names] == list(range(1, MAX_CERTIFICATES + 1))
    assert asked.nonce == b"n"


@pytest.mark.parametrize("length", [1, 16, 32, 128])
def test_nonces_of_1_to_128_octets_are_taken(length: int) -> None:
    asked = read_request(request_of(certificate_id(5), extensions=(extension(NONCE, octets(bytes(length))),)))

    assert asked.nonce == bytes(length)


@pytest.mark.parametrize("length", [0, 129, 1000])
def test_other_nonces_are_not(length: int) -> None:
    with pytest.raises(MalformedRequest, match="1 to 128"):
        read_request(request_of(certificate_id(5), extensions=(extension(NONCE, octets(bytes(length))),)))


def test_a_critical_extension_that_is_not_known_is_refused() -> None:
    unknown = extension("1.2.3.4", NULL, critical=True)

    with pytest.raises(MalformedRequest, match="critical"):
        read_request(request_of(certificate_id(5), extensions=(unknown,)))


@pytest.mark.parametrize("before", [0, 1])
def test_extensions_about_one_certificate_are_ignored_unless_they_are_critical(before: int) -> None:
    def asked(*, critical: bool) -> bytes:
        extended = certificate_id(5) + context(0, sequence(extension("1.2.3.4", NULL, critical=critical)))
        return request_of(*[certificate_id(6)] * before, extended)

    assert [each.serial_number for each in read_request(asked(critical=False)).names] == [6] * before + [5]
    with pytest.raises(MalformedRequest, match="critical"):
        read_request(asked(critical=True))


@pytest.mark.parametrize("critical", [False, True])
def test_the_forms_of_response_that_a_client_knows_may_be_told(critical: bool) -> None:
    basic = extension("1.3.6.1.5.5.7.48.1.4", sequence(oid("1.3.6.1.5.5.7.48.1.1")), critical=critical)

    asked = read_request(request_of(certificate_id(5), extensions=(basic, extension("1.2.3.4", NULL))))

    assert asked.nonce is None


@pytest.mark.parametrize("digest", ["1.2.3.4", "2.16.840.1.101.3.4.2.2"])
def test_an_issuer_that_is_named_by_another_digest_is_not_known(ca: IssuingCA, digest: str) -> None:
    (asked,) = read_request(request_of(certificate_id(5, digest))).names

    assert asked.algorithm not in {each[0] for each in issuer_names(ca)}


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"hello",
        sequence(),
        sequence(sequence()),
        sequence(integer(1)),
        request_of(),
        request_of(*[certificate_id(5)] * (MAX_CERTIFICATES + 1)),
        request_of(certificate_id(5)) + b"\0",
        request_of(certificate_id(5), before=sequence()),
        request_of(sequence(integer(5))),
        request_of(certificate_id(5), extensions=(extension(NONCE, octets(b"n")),) * 2),
    ],
)
def test_what_is_no_request_is_refused(der: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_request(der)


@given(
    der=st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda position, octet: (
                (whole := bytearray(request_of(certificate_id(5), certificate_id(6))))[: position % len(whole)]
                + bytes((octet,))
                + whole[position % len(whole) + 1 :]
            ),
            st.integers(0, 10_000),
            st.integers(0, 255),
        ),
    )
)
def test_any_bytes_are_a_request_or_malformed(der: bytes) -> None:
    try:
        asked = read_request(bytes(der))
    except MalformedRequest:
        return
    assert 1 <= len(asked.names) <= MAX_CERTIFICATES


# Responses


def loaded(der: bytes) -> ocsp.OCSPResponse:
    return ocsp.load_der_ocsp_response(der)


def assert_signed(response: ocsp.OCSPResponse, responder: OCSPResponder) -> None:
    assert response.certificates == [responder.certificate]
    key = responder.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert response.signature_hash_algorithm is not None
    key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(response.signature_hash_algorithm))


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_response_repeats_the_name_and_says_good(ca: IssuingCA, responder: OCSPResponder, algorithm: str) -> None:
    asked = name(ca, 5, algorithm)

    response = loaded(responder.respond([CertificateStanding(asked, is_issued=True)], TERMS))

    assert_signed(response, responder)
    assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert (response.serial_number, response.issuer_key_hash, response.issuer_name_hash) == (
        5,
        asked.issuer_key_hash,
        asked.issuer_name_hash,
    )
    assert (response.this_update_utc, response.next_update_utc) == (TERMS.this_update, TERMS.next_update)
    assert response.responder_key_hash is not None
    assert len(response.extensions) == 0


def test_a_number_that_was_never_issued_is_unknown(ca: IssuingCA, responder: OCSPResponder) -> None:
    response = loaded(responder.respond([CertificateStanding(name(ca, 5), is_issued=False)], TERMS))

    assert response.certificate_status is ocsp.OCSPCertStatus.UNKNOWN


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (RevocationReason.UNSPECIFIED, None),
        (RevocationReason.SUPERSEDED, x509.ReasonFlags.superseded),
        (RevocationReason.CERTIFICATE_HOLD, x509.ReasonFlags.certificate_hold),
    ],
)
def test_a_revoked_certificate_is_told_with_date_and_reason(
    ca: IssuingCA, responder: OCSPResponder, reason: RevocationReason, shown: x509.ReasonFlags | None
) -> None:
    standing = CertificateStanding(name(ca, 5), is_issued=True, revocation=revocation(reason))

    response = loaded(responder.respond([standing], TERMS))

    assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert response.revocation_time_utc == SECOND
    assert response.revocation_reason is shown


def test_a_nonce_is_repeated(ca: IssuingCA, responder: OCSPResponder) -> None:
    terms = ResponseTerms(TERMS.this_update, TERMS.next_update, bytes(range(32)))

    response = loaded(responder.respond([CertificateStanding(name(ca, 5), is_issued=True)], terms))

    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == bytes(range(32))


def test_several_standings_are_signed_together(ca: IssuingCA, responder: OCSPResponder) -> None:
    standings = [
        CertificateStanding(name(ca, 5), is_issued=True),
        CertificateStanding(name(ca, 6, "sha1"), True, revocation(RevocationReason.KEY_COMPROMISE)),
        CertificateStanding(name(ca, 7), is_issued=False),
    ]
    terms = ResponseTerms(TERMS.this_update, TERMS.next_update, b"nonce")

    response = loaded(responder.respond(standings, terms))

    assert_signed(response, responder)
    assert [(each.serial_number, each.certificate_status) for each in response.responses] == [
        (5, ocsp.OCSPCertStatus.GOOD),
        (6, ocsp.OCSPCertStatus.REVOKED),
        (7, ocsp.OCSPCertStatus.UNKNOWN),
    ]
    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"nonce"


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, (1 << 158) + 1], ids=hex)
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_the_library_encodes_the_same_responses(ca: IssuingCA, number: int, algorithm: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = at_once(issue_responder_certificate(ca, key.public_key(), SerialNumber(1 << 99), NOW))
    responder = OCSPResponder(certificate, key)
    asked, digest = name(ca, number, algorithm), hashes.SHA1() if algorithm == "sha1" else hashes.SHA256()
    good, unknown, revoked = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.UNKNOWN, ocsp.OCSPCertStatus.REVOKED
    for standing, status, at, reason in (
        (CertificateStanding(asked, is_issued=True), good, None, None),
        (CertificateStanding(asked, is_issued=False), unknown, None, None),
        *(
            (
                CertificateStanding(asked, True, revocation(each)),
                revoked,
                SECOND,
                None if each is RevocationReason.UNSPECIFIED else x509.ReasonFlags(each.word),
            )
            for each in RevocationReason
        ),
    ):
        for nonce in (None, b"n", bytes(128)):
            builder = (
                ocsp.OCSPResponseBuilder()
                .add_response_by_hash(
                    *asked.issuer[1:], number, digest, status, TERMS.this_update, TERMS.next_update, at, reason
                )
                .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
                .certificates([certificate])
            )
            if nonce is not None:
                builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
            theirs = builder.sign(key, hashes.SHA256())

            ours = loaded(responder.respond([standing], TERMS._replace(nonce=nonce)))

            assert ours.produced_at_utc == TERMS.this_update
            # The library takes the time of production from the machine.
            produced = f"{theirs.produced_at_utc:%Y%m%d%H%M%SZ}".encode(), f"{SECOND:%Y%m%d%H%M%SZ}".encode()
            assert ours.tbs_response_bytes == theirs.tbs_response_bytes.replace(*produced, 1)
            assert_signed(ours, responder)


@pytest.mark.parametrize("encoded", [b"\xff", b"\x80", b"\xff\x7f"], ids=bytes.hex)
def test_a_negative_number_is_answered_as_it_was_asked(ca: IssuingCA, responder: OCSPResponder, encoded: bytes) -> None:
    _, issuer_name, issuer_key = issuer_names(ca)[0]
    number = tlv(0x02, encoded)
    named = sequence(sequence(oid(SHA1), NULL), octets(issuer_name), octets(issuer_key), number)

    (asked,) = read_request(request_of(named)).names
    response = loaded(responder.respond([CertificateStanding(asked, is_issued=False)], TERMS))

    assert named in response.tbs_response_bytes
    assert response.certificate_status is ocsp.OCSPCertStatus.UNKNOWN


def test_a_responder_is_renewed_before_it_ends(responder: OCSPResponder) -> None:
    assert responder.is_fresh(NOW)
    assert not responder.is_fresh(responder.not_before - timedelta(seconds=1))
    assert not responder.is_fresh(NOW + timedelta(days=1))


def test_a_refusal_says_only_why() -> None:
    assert refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST) == bytes.fromhex("30030a0101")
