"""Owns the encoding of OCSP responses (RFC 6960, 4.2.1); decides no status and keeps no key.

`cryptography` encodes a sample for each digest of issuers. Responses are assembled from its constant parts and from
what is their own: the certificates and their statuses, the times and the nonce.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from thingmint.issuance.encoding.der import SEQUENCE, children, encode, only_element, signed_structure
from thingmint.issuance.encoding.values import generalized_time, integer

HASHES: Mapping[str, type[hashes.SHA1] | type[hashes.SHA256]] = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}
"""The digests by which clients may name an issuer, by the names that `cryptography` has for them."""
SIGNATURE_HASH = hashes.SHA256()

_OCTET_STRING, _ENUMERATED = 0x04, 0x0A
_EXPLICIT_0, _EXPLICIT_1, _REVOKED = 0xA0, 0xA1, 0xA1
# CertStatus (RFC 6960, 4.2.1): both are an implicit NULL.
GOOD, UNKNOWN = b"\x80\x00", b"\x82\x00"
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def revoked(at: datetime, reason: int | None) -> bytes:
    """Return the CertStatus of a certificate that is revoked; ``reason`` is a CRLReason (RFC 5280, 5.3.1)."""
    named = b"" if reason is None else encode(_EXPLICIT_0, encode(_ENUMERATED, bytes((reason,))))
    return encode(_REVOKED, generalized_time(at) + named)


class ResponseForm:
    """The constant parts of the responses of one responder, whose key is on P-256."""

    __slots__ = (
        "_after_signature",
        "_algorithm",
        "_before_octets",
        "_dates",
        "_digests",
        "_encoded_dates",
        "_nonce_id",
        "_responder",
        "_status",
    )

    def __init__(self, certificate: x509.Certificate, private_key: ec.EllipticCurvePrivateKey) -> None:
        """Take the responder's certificate, which each response holds, and its key, which signs the samples."""
        samples = {name: _sample(certificate, private_key, digest()) for name, digest in HASHES.items()}
        self._digests = {name: _digest_identifier(sample) for name, sample in samples.items()}
        sample = samples["sha1"]
        status, wrapped = children(sample, only_element(sample))
        [typed] = children(sample, wrapped)
        kind, octets = children(sample, typed)
        basic = sample[octets.content : octets.end]
        tbs, algorithm, _, certificates = children(basic, only_element(basic))
        responder, _, _, extensions = children(basic, tbs)
        [listed] = children(basic, extensions)
        [extension] = children(basic, listed)
        nonce_id, _ = children(basic, extension)
        self._status = sample[status.start : status.end]
        self._before_octets = sample[kind.start : kind.end]
        self._responder = basic[responder.start : responder.end]
        self._nonce_id = basic[nonce_id.start : nonce_id.end]
        self._algorithm = basic[algorithm.start : algorithm.end]
        self._after_signature = basic[certificates.start : certificates.end]
        # Responses of one second have the same dates.
        self._dates = _ANY_TIME, _ANY_TIME
        self._encoded_dates = generalized_time(_ANY_TIME), generalized_time(_ANY_TIME)

    def answer(
        self,
        algorithm: str,
        issuer_name_hash: bytes,
        issuer_key_hash: bytes,
        serial_number: int,
        status: bytes,
        this_update: datetime,
        next_update: datetime,
    ) -> bytes:
        """Return a SingleResponse about one certificate; the algorithm is one of `HASHES`."""
        name = encode(
            SEQUENCE,
            b"%b\x04%c%b\x04%c%b%b"
            % (
                self._digests[algorithm],
                len(issuer_name_hash),
                issuer_name_hash,
                len(issuer_key_hash),
                issuer_key_hash,
                # A client may ask for any number, also for a negative one.
                integer(serial_number),
            ),
        )
        return encode(SEQUENCE, name + status + self._updates(this_update, next_update))

    def to_be_signed(self, answers: Iterable[bytes], produced_at: datetime, nonce: bytes | None) -> bytes:
        """Return the ResponseData with these answers, in the order given."""
        extensions = b"" if nonce is None else self._nonce(nonce)
        produced = self._encoded_dates[0] if produced_at == self._dates[0] else generalized_time(produced_at)
        return encode(SEQUENCE, self._responder + produced + encode(SEQUENCE, b"".join(answers)) + extensions)

    def signed(self, to_be_signed: bytes, signature: bytes) -> bytes:
        """Return the OCSPResponse of what was signed."""
        basic = signed_structure(to_be_signed, self._algorithm, signature, self._after_signature)
        typed = encode(SEQUENCE, self._before_octets + encode(_OCTET_STRING, basic))
        return encode(SEQUENCE, self._status + encode(_EXPLICIT_0, typed))

    def _updates(self, this_update: datetime, next_update: datetime) -> bytes:
        if self._dates != (this_update, next_update):
            self._dates = this_update, next_update
            self._encoded_dates = generalized_time(this_update), generalized_time(next_update)
        this, following = self._encoded_dates
        return this + encode(_EXPLICIT_0, following)

    def _nonce(self, nonce: bytes) -> bytes:
        # RFC 9654, 2.1: the value of the extension is an OCTET STRING of its own.
        value = encode(_OCTET_STRING, encode(_OCTET_STRING, nonce))
        return encode(_EXPLICIT_1, encode(SEQUENCE, encode(SEQUENCE, self._nonce_id + value)))


def _sample(
    certificate: x509.Certificate, private_key: ec.EllipticCurvePrivateKey, digest: hashes.HashAlgorithm
) -> bytes:
    """Return a response about no certificate; nobody sees it. The library wants the key of the certificate."""
    empty = bytes(digest.digest_size)
    unknown = ocsp.OCSPCertStatus.UNKNOWN
    return (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(empty, empty, 1, digest, unknown, _ANY_TIME, _ANY_TIME, None, None)
        .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        .certificates([certificate])
        .add_extension(x509.OCSPNonce(b"\0"), critical=False)
        .sign(private_key, SIGNATURE_HASH)
        .public_bytes(serialization.Encoding.DER)
    )


def _digest_identifier(sample: bytes) -> bytes:
    """Return the AlgorithmIdentifier with which the sample names its issuer."""
    tbs = ocsp.load_der_ocsp_response(sample).tbs_response_bytes
    _, _, answers, _ = children(tbs, only_element(tbs))
    [answer] = children(tbs, answers)
    name = children(tbs, answer)[0]
    identifier = children(tbs, name)[0]
    return tbs[identifier.start : identifier.end]
