"""Owns the encoding and signing of certificate revocation lists (RFC 5280, 5). Does no I/O.

`cryptography` encodes the list around the entries, and what entries of one reason have in common. A list of many
entries is put together from encoded ones, so that one more entry costs no encoding of all others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.errors import ServiceUnavailable
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.encoding.der import SEQUENCE, children, encode, only_element, signed_structure
from thingmint.issuance.encoding.values import integer, time
from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.throwaway_keys import throwaway_key, throwaway_key_like

_HASH = hashes.SHA256()
# TBSCertList (RFC 5280, 5.1): version, signature, issuer, thisUpdate and nextUpdate stand before the entries.
_FIELDS_BEFORE_ENTRIES = 5
# `cryptography` needs a name and dates to write a list. These are of a list that is never published.
_NOBODY = x509.Name([])
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ListTerms:
    """The fields of a list besides its entries: its number, its dates, and its URL if it has only part of the entries.

    A list with a ``distribution_point`` has only the entries of certificates that name this URL.
    """

    number: int
    this_update: datetime
    next_update: datetime
    distribution_point: str | None = None


def encode_entries(revocations: Sequence[Revocation]) -> bytes:
    """Return the encoded entries, joined in the given order.

    An unspecified reason is left out (RFC 5280, 5.3.1).
    """
    return b"".join([_entry(each) for each in revocations])


async def sign_list(ca: IssuingCA, terms: ListTerms, entries: Iterable[bytes]) -> bytes:
    """Return the DER of a list of the CA with these encoded entries.

    Raises IssuerUnfit if the CA may not sign lists or its key is not available, ServiceUnavailable if the key cannot be
    used now or its signature is wrong.
    """
    if ca.signer is None:
        raise IssuerUnfit("the issuer's private key is missing")
    if not signs_lists(ca):
        raise IssuerUnfit("the issuer's certificate may not sign revocation lists")
    to_be_signed, algorithm = _to_be_signed(ca, terms, b"".join(entries))
    signature = await ca.signer.sign(to_be_signed, _HASH)
    if not _is_signature(ca.signer.public_key, signature, to_be_signed):
        raise ServiceUnavailable("The issuer's signer returned a signature that does not verify")
    return signed_structure(to_be_signed, algorithm, signature)


def signs_lists(ca: IssuingCA) -> bool:
    """Return whether the CA's certificate has the key usage cRLSign (RFC 5280, 4.2.1.3)."""
    return ca.certificate.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign


def _entry(revocation: Revocation) -> bytes:
    """Return one of the revokedCertificates (RFC 5280, 5.1)."""
    named = b"" if revocation.reason is RevocationReason.UNSPECIFIED else _reason_extensions(revocation.reason)
    return encode(SEQUENCE, integer(revocation.serial_number) + time(revocation.revoked_at) + named)


@cache
def _reason_extensions(reason: RevocationReason) -> bytes:
    """Return the extensions of an entry with this reason, as the library encodes them."""
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(1)
        .revocation_date(_ANY_TIME)
        .add_extension(x509.CRLReason(x509.ReasonFlags(reason.word)), critical=False)
        .build()
    )
    builder = x509.CertificateRevocationListBuilder(issuer_name=_NOBODY, last_update=_ANY_TIME, next_update=_ANY_TIME)
    sample = builder.add_revoked_certificate(entry).sign(throwaway_key(), _HASH)
    der = sample.public_bytes(serialization.Encoding.DER)
    listed = children(der, children(der, only_element(der))[0])[_FIELDS_BEFORE_ENTRIES]
    [only] = children(der, listed)
    *_, extensions = children(der, only)
    return der[extensions.start : extensions.end]


def _to_be_signed(ca: IssuingCA, terms: ListTerms, entries: bytes) -> tuple[bytes, bytes]:
    """Return the TBSCertList with the entries, and the algorithm identifier that follows it."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(terms.this_update)
        .next_update(terms.next_update)
        .add_extension(x509.AuthorityKeyIdentifier(ca.key_identifier, None, None), critical=False)
        .add_extension(x509.CRLNumber(terms.number), critical=False)
    )
    if terms.distribution_point is not None:
        builder = builder.add_extension(_issuing_distribution_point(terms.distribution_point), critical=True)
    key = throwaway_key_like(ca.certificate.public_key())
    der = builder.sign(key, _HASH).public_bytes(serialization.Encoding.DER)
    tbs, algorithm, _ = children(der, only_element(der))
    fields = children(der, tbs)
    middle = fields[_FIELDS_BEFORE_ENTRIES].start
    # RFC 5280, 5.1.2.6: without entries, the list of entries is absent.
    listed = encode(SEQUENCE, entries) if entries else b""
    content = der[tbs.content : middle] + listed + der[middle : tbs.end]
    return encode(SEQUENCE, content), der[algorithm.start : algorithm.end]


def _issuing_distribution_point(address: str) -> x509.IssuingDistributionPoint:
    # RFC 5280, 5.2.5. Only device certificates are in partial lists, because CA certificates name none.
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(address)],
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )


def _is_signature(public_key: PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        if isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, content, padding.PKCS1v15(), _HASH)
        else:
            public_key.verify(signature, content, ec.ECDSA(_HASH))
    except InvalidSignature:
        return False
    return True
