"""Owns the check of an issuer's chain that another authority signed, from the issuer's certificate up to a root.

The file is untrusted input: its size, the number of its certificates and each of them are checked (RFC 5280, 6.1).
"""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.encoding.parsing import READING_ERRORS, certificates_in_pem
from thingmint.issuance.keys.key_pairs import PublicKey, WeakKey, accepted_public_key
from thingmint.issuance.keys.subject_keys import subject_public_key

MOST_BYTES = 65_536
MOST_CERTIFICATES = 16
# The critical extensions that are processed below, and those that do not restrict the service's device certificates.
_UNDERSTOOD = (
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.CERTIFICATE_POLICIES,
)
_PURPOSES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
_STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def checked_chain(
    text: bytes, public_key: PublicKey, at: datetime, own_root: x509.Certificate
) -> tuple[x509.Certificate, ...]:
    """Return the certificate of the key and those above it, the root last, without the service's own root.

    ``text`` is PEM in any order. Certificates outside of the chain are ignored. Raises IssuerUnfit with the reason: too
    large, no or several certificates of the key, a missing level, a loop, a signature, validity, path length, key
    usage, or a purpose that excludes TLS clients.
    """
    present = _read(text)
    matching = [each for each in present if each.public_key() == public_key]
    if len(matching) != 1:
        raise IssuerUnfit(f"the file holds {len(matching)} certificates of the issuer's key instead of one")
    _require_signs_devices(matching[0])
    IssuingCA(matching[0], None)
    chain = [matching[0]]
    while not _is_self_issued(chain[-1]) or len(chain) == 1:
        above = _above(chain, [*present, own_root])
        if above in chain:
            raise IssuerUnfit("the certificates certify each other in a loop")
        chain.append(above)
    for below, each in enumerate(chain):
        _check(each, below - 1, at)
    return tuple([each for each in chain if each != own_root])


def _read(text: bytes) -> Sequence[x509.Certificate]:
    if len(text) > MOST_BYTES:
        raise IssuerUnfit(f"the file is longer than {MOST_BYTES} bytes")
    try:
        found = certificates_in_pem(text)
        # Names and extensions are parsed only here, and may be malformed.
        for each in found:
            each.subject.rfc4514_string()
            each.issuer.rfc4514_string()
            list(each.extensions)
            accepted_public_key(subject_public_key(each))
    except READING_ERRORS as error:
        raise IssuerUnfit("the file holds no certificate in PEM, or one that cannot be read") from error
    except WeakKey as error:
        raise IssuerUnfit(f"{_name(each)}: {error.message}") from error
    if len(found) > MOST_CERTIFICATES:
        raise IssuerUnfit(f"the file holds more than {MOST_CERTIFICATES} certificates")
    return found


def _above(chain: Sequence[x509.Certificate], candidates: Sequence[x509.Certificate]) -> x509.Certificate:
    last = chain[-1]
    named = [each for each in candidates if each.subject == last.issuer]
    if not named:
        raise IssuerUnfit(f"the certificate of {last.issuer.rfc4514_string()} is missing: put it into the file, too")
    for each in named:
        if _has_signed(each, last):
            return each
    raise IssuerUnfit(f"{_name(last)} has no signature of the key of {last.issuer.rfc4514_string()} in the file")


def _has_signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _is_self_issued(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer and _has_signed(certificate, certificate)


def _check(certificate: x509.Certificate, authorities_below: int, at: datetime) -> None:
    """Check one level. ``authorities_below`` counts those between this one and the issuer; -1 for the issuer itself."""
    name = _name(certificate)
    if not certificate.subject.rdns:
        raise IssuerUnfit("a certificate of the chain has an empty subject")
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise IssuerUnfit(
            f"{name} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC, which is not now"
        )
    if not isinstance(certificate.signature_hash_algorithm, _STRONG):
        raise IssuerUnfit(f"{name} is signed with an algorithm other than SHA-256, SHA-384 or SHA-512")
    found = {each.oid: each for each in certificate.extensions}
    for extension in found.values():
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise IssuerUnfit(
                f"{name} has the critical extension {extension.oid.dotted_string}, which is not supported"
            )
    constraints, usage, purposes = (
        None if oid not in found else found[oid].value
        for oid in (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE)
    )
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        raise IssuerUnfit(f"{name} is not the certificate of an authority")
    if constraints.path_length is not None and constraints.path_length < authorities_below + 1:
        raise IssuerUnfit(f"{name} allows {constraints.path_length} authorities below it, and there are more")
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        raise IssuerUnfit(f"the key usage of {name} does not allow it to sign certificates")
    if isinstance(purposes, x509.ExtendedKeyUsage) and not any(each in purposes for each in _PURPOSES):
        raise IssuerUnfit(f"the extended key usage of {name} excludes TLS clients")


def _require_signs_devices(certificate: x509.Certificate) -> None:
    if certificate.subject == certificate.issuer:
        raise IssuerUnfit("the issuer's certificate is self-signed: an authority above it must certify it")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        raise IssuerUnfit("the issuer's certificate has no key usage: it needs keyCertSign and cRLSign") from error
    if not usage.crl_sign:
        raise IssuerUnfit("the issuer's key usage lacks cRLSign: its revocation lists could not be signed")


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate"
