"""What is read from signing requests, and that nothing but a named refusal comes out of any bytes."""

import base64
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.certificates.der import bits, context, integer, oid, sequence, set_of, tlv
from tests.support.certificates.signing_requests import DEVICE, key_of
from tests.support.certificates.slow_keys import DIFFIE_HELLMAN, diffie_hellman_request
from tests.support.machine.soak import examples

from thingmint.core.errors import InvalidRequest
from thingmint.issuance.csr import (
    CSRSignatureRefused,
    MalformedCSR,
    asks_for_alternative_names,
    load_csr,
    load_csr_der,
    load_subject_der,
    require_no_key_encryption,
)
from thingmint.issuance.keys.key_pairs import WeakKey
from thingmint.issuance.profiles.subject import SubjectRefused

RequestFor = Callable[..., str]
CN = b"\x55\x04\x03"
UTF8 = 0x0C


def pem(der: bytes, label: str = "CERTIFICATE REQUEST") -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def der_of(text: str) -> bytes:
    return base64.b64decode("".join(text.strip().splitlines()[1:-1]))


def spki(public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def attribute(value: bytes, tag: int = UTF8, kind: bytes = CN) -> bytes:
    return set_of(sequence(tlv(0x06, kind), tlv(tag, value)))


def signed_request(private_key: ec.EllipticCurvePrivateKey, name: bytes, key: bytes | None = None) -> str:
    """Return a request with a hand-made name or key, rightly signed."""
    tbs = sequence(integer(0), name, key or spki(private_key.public_key()), context(0, b""))
    signature = private_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return pem(sequence(tbs, sequence(oid("1.2.840.10045.4.3.2")), bits(signature)))


def test_an_rsa_request_gives_its_key_and_subject(rsa_key: rsa.RSAPrivateKey, request_for: RequestFor) -> None:
    request = load_csr(request_for(rsa_key))
    assert request.public_key == rsa_key.public_key()
    assert request.subject == x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor-17")])


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda item: item.name)
def test_requests_on_the_nist_curves_are_accepted(
    curve: ec.EllipticCurve, algorithm: hashes.HashAlgorithm, request_for: RequestFor
) -> None:
    private_key = ec.generate_private_key(curve)
    assert load_csr(request_for(private_key, None, algorithm)).public_key == private_key.public_key()


def test_order_and_string_types_of_the_subject_are_kept(
    ec_key: ec.EllipticCurvePrivateKey, request_for: RequestFor
) -> None:
    subject = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [
                    x509.NameAttribute(NameOID.COMMON_NAME, "Zählwerk", _ASN1Type.BMPString),
                    x509.NameAttribute(NameOID.SERIAL_NUMBER, "0042"),
                ]
            ),
            x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE")]),
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme", _ASN1Type.PrintableString)]
            ),
            x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@example.org")]),
        ]
    )
    read = load_csr(request_for(ec_key, subject)).subject
    assert read is not None
    assert read.public_bytes() == subject.public_bytes()


def test_an_empty_subject_leaves_it_to_the_profile(ec_key: ec.EllipticCurvePrivateKey, request_for: RequestFor) -> None:
    assert load_csr(request_for(ec_key, x509.Name([]))).subject is None


def test_the_older_label_and_other_line_ends_are_accepted(
    ec_key: ec.EllipticCurvePrivateKey, request_for: RequestFor
) -> None:
    text = request_for(ec_key)
    for variant in (
        pem(der_of(text), "NEW CERTIFICATE REQUEST"),
        text.replace("\n", "\r\n"),
        f"\n  {text}\n\n",
        text.rstrip("\n"),
        f"Certificate Request:\n    Data:\n{text}",
    ):
        assert load_csr(variant).public_key == ec_key.public_key()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "", "exactly one PEM block"),
        (lambda text: text + text, "exactly one PEM block"),
        (lambda text: text.replace("END", "BEGIN"), "exactly one PEM block"),
        (lambda text: "hello" + text, "text beside or after"),
        (lambda text: text + "hello", "text beside or after"),
        (lambda text: text.replace("CERTIFICATE REQUEST", "CERTIFICATE"), "not labelled"),
        (lambda text: text.replace("END CERTIFICATE", "END NEW CERTIFICATE"), "not labelled"),
        (lambda text: text.replace("\n", "\nA: b\n", 1), "not base64"),
        (lambda text: text.replace("\n", "\né", 1), "not base64"),
        (lambda text: pem(b""), "not a PKCS#10"),
        (lambda text: pem(der_of(text) + b"\0"), "not a PKCS#10"),
        (lambda text: pem(der_of(text).replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)), "not a PKCS#10"),
        (lambda text: text + " " * 70_000, "longer than"),
    ],
)
def test_what_is_not_one_block_of_a_request_is_refused(
    change: Callable[[str], str], reason: str, ec_key: ec.EllipticCurvePrivateKey, request_for: RequestFor
) -> None:
    with pytest.raises(MalformedCSR, match=reason):
        load_csr(change(request_for(ec_key)))


def test_a_request_signed_by_another_key_is_refused(ec_key: ec.EllipticCurvePrivateKey) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    text = signed_request(other, sequence(attribute(b"x")), spki(ec_key.public_key()))
    with pytest.raises(CSRSignatureRefused, match="not signed by the private key"):
        load_csr(text)


def test_an_rsa_signature_over_an_ec_key_is_refused(
    ec_key: ec.EllipticCurvePrivateKey, rsa_key: rsa.RSAPrivateKey
) -> None:
    tbs = sequence(integer(0), sequence(), spki(ec_key.public_key()), context(0, b""))
    signature = rsa_key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    algorithm = sequence(oid("1.2.840.113549.1.1.11"), tlv(0x05, b""))
    with pytest.raises(CSRSignatureRefused):
        load_csr(pem(sequence(tbs, algorithm, bits(signature))))


@pytest.mark.parametrize(
    ("algorithm", "reason"),
    [
        (sequence(oid("1.2.840.10045.4.1")), r"not signed by the private key of its public key \(with sha1\)"),
        (sequence(oid("1.2.840.113549.1.1.4"), tlv(0x05, b"")), "md5"),
        (sequence(oid("1.2.840.113549.1.1.5"), tlv(0x05, b"")), "with sha1"),
        (sequence(oid("1.2.840.10045.4.3.1")), "sha224"),
        (sequence(oid("1.3.101.112")), "no hash"),
        (sequence(oid("1.2.3.4.5")), "unknown"),
        (sequence(oid("1.2.840.113549.1.1.10")), "unknown|PKCS#10"),
    ],
)
def test_weak_and_unknown_signature_algorithms_are_refused(
    algorithm: bytes, reason: str, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    tbs = sequence(integer(0), sequence(), spki(ec_key.public_key()), context(0, b""))
    signature = ec_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidRequest, match=reason):
        load_csr(pem(sequence(tbs, algorithm, bits(signature))))


def test_a_request_that_an_old_tool_signed_with_sha_1_is_accepted(
    ec_key: ec.EllipticCurvePrivateKey, rsa_key: rsa.RSAPrivateKey
) -> None:
    for key, algorithm in (
        (ec_key, sequence(oid("1.2.840.10045.4.1"))),
        (rsa_key, sequence(oid("1.2.840.113549.1.1.5"), tlv(0x05, b""))),
    ):
        tbs = sequence(integer(0), sequence(), spki(key.public_key()), context(0, b""))
        if isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
        else:
            signature = key.sign(tbs, ec.ECDSA(hashes.SHA1()))
        assert load_csr(pem(sequence(tbs, algorithm, bits(signature)))).public_key == key.public_key()
        with pytest.raises(CSRSignatureRefused, match="with sha1"):
            load_csr(pem(sequence(tbs, algorithm, bits(signature[:-1] + bytes([signature[-1] ^ 1])))))


def request_of_kind(private_key: ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    algorithm = None if isinstance(private_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(private_key, algorithm)
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def test_other_kinds_of_keys_are_refused_by_name() -> None:
    with pytest.raises(WeakKey, match="Ed25519"):
        load_csr(request_of_kind(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(WeakKey, match="DSA"):
        load_csr(request_of_kind(dsa.generate_private_key(1024)))
    with pytest.raises(WeakKey, match="secp256k1"):
        load_csr(request_of_kind(ec.generate_private_key(ec.SECP256K1())))


def test_keys_whose_reading_takes_minutes_are_not_read() -> None:
    with pytest.raises(WeakKey, match=f"is of the kind {DIFFIE_HELLMAN}; accepted are RSA"):
        load_csr(diffie_hellman_request())


def test_a_point_beside_the_curve_is_refused(ec_key: ec.EllipticCurvePrivateKey) -> None:
    encoded = bytearray(spki(ec_key.public_key()))
    encoded[-1] ^= 1
    with pytest.raises(WeakKey, match="cannot be read"):
        load_csr(signed_request(ec_key, sequence(), bytes(encoded)))


def test_a_compressed_point_is_refused(ec_key: ec.EllipticCurvePrivateKey) -> None:
    point = ec_key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    key = sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), bits(point))
    with pytest.raises(WeakKey, match="uncompressed"):
        load_csr(signed_request(ec_key, sequence(), key))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (sequence(attribute(b"a\0b")), "commonName has a NUL"),
        (sequence(attribute(b"a\nb")), "control character"),
        (sequence(attribute(b"a\x7fb")), "control character"),
        # A terminal reads CSI as the begin of a command, as it does ESC and "[".
        (sequence(attribute("a\x9b31mb".encode())), "control character"),
        (sequence(attribute("a\x85b".encode("utf-16-be"), 0x1E)), "control character"),
        (sequence(attribute(b"")), "commonName has 0 characters"),
        (sequence(attribute(b"x" * 65)), "commonName has 65 characters; it must have 1 to 64"),
        (sequence(attribute("設".encode() * 65)), "commonName has 65 characters; it must have 1 to 64"),
        (
            sequence(attribute("設".encode("utf-16-be") * 65, 0x1E)),
            "commonName has 65 characters; it must have 1 to 64",
        ),
        (sequence(attribute(b"DEU", 0x13, b"\x55\x04\x06")), "countryName has 3 characters; it must have 2"),
        (sequence(set_of(sequence())), "malformed"),
        (sequence(attribute(b"\xff")), "not a valid UTF8String"),
        (sequence(attribute(b"\xe4", 0x16)), "not a valid IA5String"),
        (sequence(attribute(b"a_b", 0x13)), "PrintableString cannot have"),
        (sequence(attribute(b"\x00", 0x1E)), "not a valid BMPString"),
        (sequence(attribute(b"\xd8\x3d\xde\x00", 0x1E)), "BMPString cannot have"),
        (sequence(attribute(b"old", 0x14)), "not a UTF8String"),
        (sequence(attribute(b"x" * 257, UTF8, b"\x55\x04\x0d")), "attribute has 257"),
        (sequence(*[attribute(b"x")] * 17), "17 attributes"),
        (sequence(*[attribute(b"x" * 256, UTF8, b"\x55\x04\x0d")] * 16), "octets, more than 4096"),
    ],
)
def test_unfit_subjects_are_refused_with_the_reason(
    name: bytes, reason: str, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    with pytest.raises(SubjectRefused, match=reason):
        load_csr(signed_request(ec_key, name))


@pytest.mark.parametrize(
    ("character", "tag", "encoding"),
    [("測", UTF8, "utf-8"), ("ü", UTF8, "utf-8"), ("😀", UTF8, "utf-8"), ("測", 0x1E, "utf-16-be")],
)
def test_a_common_name_may_fill_its_bound_in_any_script(
    ec_key: ec.EllipticCurvePrivateKey, character: str, tag: int, encoding: str
) -> None:
    name = sequence(attribute((character * 64).encode(encoding), tag))
    subject = load_csr(signed_request(ec_key, name)).subject
    assert subject is not None
    assert subject.public_bytes() == name


def test_a_subject_that_is_not_in_der_order_is_refused(ec_key: ec.EllipticCurvePrivateKey) -> None:
    first, second = (sequence(tlv(0x06, CN), tlv(UTF8, value)) for value in (b"b", b"a"))
    with pytest.raises(MalformedCSR):
        load_csr(signed_request(ec_key, sequence(set_of(first, second))))


@pytest.mark.parametrize(
    "relative_name",
    [
        set_of(),
        set_of(*[sequence(tlv(0x06, CN), tlv(UTF8, b"a"))] * 2),
        set_of(*(sequence(tlv(0x06, CN), tlv(tag, b"a")) for tag in (UTF8, 0x13))),
    ],
    ids=["no attribute", "twice", "in two string types"],
)
def test_a_relative_name_has_different_attributes(ec_key: ec.EllipticCurvePrivateKey, relative_name: bytes) -> None:
    with pytest.raises(SubjectRefused, match="empty or has an attribute twice"):
        load_csr(signed_request(ec_key, sequence(relative_name)))


TYPES = st.sampled_from([CN, b"\x55\x04\x06", b"\x55\x04\x0d", b"\x2a\x03"]) | st.binary(max_size=4)
VALUES = st.sampled_from([b"DE", b"a", "é".encode(), b"\x00a", b""]) | st.binary(max_size=6)
OWN_ATTRIBUTES = st.builds(
    lambda outer, tag, kind, value_tag, value: tlv(outer, tlv(tag, kind) + tlv(value_tag, value)),
    st.sampled_from([0x30, 0x30, 0x30, 0x31]),
    st.sampled_from([0x06, 0x06, 0x06, 0x04]),
    TYPES,
    st.sampled_from([UTF8, 0x13, 0x16, 0x1E, 0x03]),
    VALUES,
)
NAMES = st.lists(
    st.builds(
        lambda tag, ordered, parts: tlv(tag, b"".join(sorted(parts) if ordered else parts)),
        st.sampled_from([0x31, 0x31, 0x31, 0x30]),
        st.booleans(),
        st.lists(OWN_ATTRIBUTES, max_size=3),
    ),
    min_size=1,
    max_size=3,
).map(lambda parts: sequence(*parts))


@settings(max_examples=examples(200, 5_000))
@given(name=NAMES)
@example(name=sequence(set_of(attribute(b"a")[2:], attribute(b"b")[2:])))
@example(name=sequence(set_of(attribute(b"a")[2:], attribute(b"a", 0x13)[2:])))
@example(name=sequence(set_of(attribute(b"a")[2:], attribute(b"\0a", 0x1E)[2:])))
def test_every_accepted_subject_is_written_in_der_as_the_library_writes_it(
    name: bytes, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    try:
        request = load_csr(signed_request(ec_key, name))
    except InvalidRequest:
        return
    assert request.subject is not None
    assert request.subject_der == name == request.subject.public_bytes()


@settings(max_examples=examples(40, 400))
@given(where=st.integers(0, 10_000), octet=st.integers(0, 255), cut=st.booleans())
def test_only_named_refusals_come_from_mutated_requests(
    where: int, octet: int, cut: bool, rsa_key: rsa.RSAPrivateKey, request_for: RequestFor
) -> None:
    der = bytearray(der_of(request_for(rsa_key)))
    where %= len(der)
    der[where] = octet
    try:
        load_csr(pem(bytes(der[:where] if cut else der)))
    except InvalidRequest:
        return


@settings(max_examples=examples(30, 300))
@given(name=st.binary(max_size=60), tag=st.integers(0, 0x3F), kind=st.binary(min_size=1, max_size=4))
@example(name=b"D\xc3\xa9", tag=UTF8, kind=b"\x55\x04\x06")
def test_only_named_refusals_come_from_rightly_signed_requests_with_any_subject(
    name: bytes, tag: int, kind: bytes, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    try:
        load_csr(signed_request(ec_key, sequence(attribute(name, tag, kind))))
    except InvalidRequest:
        return


@given(text=st.text())
@example(text="-----BEGIN CERTIFICATE REQUEST----------END CERTIFICATE REQUEST-----")
def test_only_named_refusals_come_from_any_text(text: str) -> None:
    with pytest.raises(InvalidRequest):
        load_csr(text)


def der_with(*extensions: x509.ExtensionType, attributes: dict[str, bytes] | None = None, kind: str = "p-256") -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(DEVICE)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    for kind_of, value in (attributes or {}).items():
        builder = builder.add_attribute(x509.ObjectIdentifier(kind_of), value)
    return builder.sign(key_of(kind), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_a_request_in_der_is_the_same_one() -> None:
    der = der_with()
    assert load_csr_der(der) == load_csr(x509.load_der_x509_csr(der).public_bytes(serialization.Encoding.PEM).decode())


def test_subject_is_read_without_key_and_signature(ec_key: ec.EllipticCurvePrivateKey) -> None:
    """RFC 7030, 4.4.1: a server that makes the key ignores those of the request, whatever they are."""
    der = der_with()
    expected = load_csr_der(der).subject_der
    name = sequence(attribute(b"a"))
    others = (
        der[:-1] + bytes((der[-1] ^ 1,)),
        der_of(signed_request(ec_key, DEVICE.public_bytes(), sequence(sequence(oid("1.2.3")), bits(b"no key")))),
    )
    assert [load_subject_der(each) for each in (der, *others)] == [expected] * 3
    # Reading this key would take minutes.
    assert load_subject_der(der_of(diffie_hellman_request())) is not None
    assert load_subject_der(der_of(signed_request(ec_key, name))) == name
    assert load_subject_der(der_of(signed_request(ec_key, sequence()))) is None
    with pytest.raises(SubjectRefused):
        load_subject_der(der_of(signed_request(ec_key, sequence(attribute(b"a\0b")))))
    for malformed in (b"", der[:-5], sequence(sequence(integer(7), name, spki(ec_key.public_key()), context(0, b"")))):
        with pytest.raises(MalformedCSR):
            load_subject_der(malformed)


def test_alternative_names_that_are_asked_for_are_seen() -> None:
    assert not asks_for_alternative_names(der_with())
    assert not asks_for_alternative_names(der_with(x509.BasicConstraints(ca=False, path_length=None)))
    assert asks_for_alternative_names(der_with(x509.SubjectAlternativeName([x509.DNSName("lamp")])))
    # PKCS#9's extensionRequest, whose value is no list of extensions.
    with pytest.raises(MalformedCSR, match="extensions"):
        asks_for_alternative_names(der_with(attributes={"1.2.840.113549.1.9.14": b"no extensions"}))
    named = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor")]))
    request = der_with(x509.SubjectAlternativeName([named]))
    with pytest.raises(MalformedCSR, match="extensions"):
        asks_for_alternative_names(request.replace(b"\x0c\x06sensor", b"\x03\x06sensor"))


@pytest.mark.parametrize("wanted", ["1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54"])
def test_a_key_is_not_promised_to_be_encrypted(wanted: str) -> None:
    require_no_key_encryption(der_with(attributes={"1.2.840.113549.1.9.7": b"password"}))
    with pytest.raises(InvalidRequest, match="protected by TLS alone"):
        require_no_key_encryption(der_with(attributes={wanted: b"key"}))


def test_attributes_that_cannot_be_read_are_refused() -> None:
    two_values = sequence(tlv(0x06, b"\x2a\x03"), set_of(integer(1), integer(2)))
    key = key_of("p-256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signed = sequence(integer(0), sequence(), spki(key.public_key()), context(0, two_values))
    algorithm = sequence(tlv(0x06, b"\x2a\x86\x48\xce\x3d\x04\x03\x02"))
    with pytest.raises(MalformedCSR, match="attributes"):
        require_no_key_encryption(sequence(signed, algorithm, bits(b"\x00")))
