"""Owns the certificate with which a CA delegates OCSP responses to a key (RFC 6960, 4.2.2.2)."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.encoding.der import with_signature
from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.keys.throwaway_keys import throwaway_key_like

# Clients do not check its revocation (RFC 6960, 4.2.2.2.1), so its validity is short.
RESPONDER_LIFETIME = timedelta(days=2)
_BACKDATE = timedelta(hours=1)
_HASH = hashes.SHA256()
_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


async def issue_responder_certificate(
    ca: IssuingCA, public_key: ec.EllipticCurvePublicKey, serial_number: SerialNumber, at: datetime
) -> x509.Certificate:
    """Return a certificate for a responder's key. It expires after two days or with the CA.

    Raises IssuerUnfit if the CA's key is not available or the CA is not valid at this time, ServiceUnavailable if the
    key cannot be used now or its signature is wrong.
    """
    if ca.signer is None:
        raise IssuerUnfit("the issuer's private key is missing")
    at = at.astimezone(UTC).replace(microsecond=0)
    if not ca.not_before <= at < ca.not_after:
        raise IssuerUnfit("the issuer is not valid now")
    unsigned = _builder(ca, public_key, serial_number, at).sign(throwaway_key_like(ca.signer.public_key), _HASH)
    signature = await ca.signer.sign(unsigned.tbs_certificate_bytes, _HASH)
    certificate = certificate_in_der(with_signature(unsigned.public_bytes(serialization.Encoding.DER), signature))
    if not ca.has_signed(certificate):
        raise ServiceUnavailable("The issuer's signer returned a signature that does not verify")
    return certificate


def _builder(
    ca: IssuingCA, public_key: ec.EllipticCurvePublicKey, serial_number: SerialNumber, at: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Thingmint OCSP responder")]))
        .issuer_name(ca.certificate.subject)
        .public_key(public_key)
        .serial_number(serial_number)
        .not_valid_before(max(at - _BACKDATE, ca.not_before))
        .not_valid_after(min(at + RESPONDER_LIFETIME, ca.not_after))
        .add_extension(x509.AuthorityKeyIdentifier(ca.key_identifier, None, None), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .add_extension(x509.OCSPNoCheck(), critical=False)
    )
