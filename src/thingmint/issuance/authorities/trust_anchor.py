"""Owns the service's own certificates: root, issuing and service authority, server certificates and their renewal.

The functions are pure: keys, serial numbers and the time are arguments.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.private_keys import PrivateKeyError
from thingmint.issuance.keys.throwaway_keys import IssuerKey
from thingmint.issuance.profiles.profile import END_OF_UTC_TIME
from thingmint.issuance.profiles.public_addresses import PublicAddresses

_AUTHORITY_LIFETIME = timedelta(days=20 * 365)
# The clock of a first start may be ahead of the right time. The authorities must be valid after its correction.
_AUTHORITY_BACKDATE = timedelta(days=1)
# BR, 6.3.2: at most 398 days. Clients on some platforms refuse longer ones, also from private authorities.
_SERVER_LIFETIME = timedelta(days=397)
_SERVER_BACKDATE = timedelta(hours=1)
_COMMON_NAME_BOUND = 64
_SERVER_FALLBACK_NAME = "Thingmint server"
_NO_USAGES = dict.fromkeys(
    (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ),
    False,
)  # fmt: skip
_CA_USAGE = x509.KeyUsage(**(_NO_USAGES | {"key_cert_sign": True, "crl_sign": True}))
_SERVER_USAGE = x509.KeyUsage(**(_NO_USAGES | {"digital_signature": True}))
_HASH = hashes.SHA256()


class ServerNameRefused(ValueError):
    """A server name is neither a DNS name in ASCII nor an IP address, or there is none."""


class KeyMismatch(PrivateKeyError):
    """A private key does not belong to the certificate that is stored with it."""


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA certificate and its private key, which the repr does not show."""

    certificate: x509.Certificate
    private_key: IssuerKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class _AuthorityKind:
    name: str
    path_length: int
    purpose: x509.ObjectIdentifier | None


_ROOT = _AuthorityKind("Thingmint Root CA", 1, None)
# A device certificate has no extended key usage, as at AWS. The extended key usage of its issuer restricts it, too, so
# no client accepts it as a server certificate.
_ISSUING = _AuthorityKind("Thingmint Issuing CA", 0, ExtendedKeyUsageOID.CLIENT_AUTH)
_SERVICE = _AuthorityKind("Thingmint Service CA", 0, ExtendedKeyUsageOID.SERVER_AUTH)

# The trust anchor of clients that verify RSA only. It issues only server certificates, directly.
_RSA_SERVICE = _AuthorityKind("Thingmint RSA Service CA", 0, ExtendedKeyUsageOID.SERVER_AUTH)


def create_root_ca(private_key: IssuerKey, serial_number: SerialNumber, at: datetime) -> x509.Certificate:
    """Return a self-signed certificate that may certify authorities, valid to the end of 2049 or for 20 years."""
    return _self_signed(_ROOT, private_key, serial_number, at)


def create_rsa_service_ca(private_key: IssuerKey, serial_number: SerialNumber, at: datetime) -> x509.Certificate:
    """Return a self-signed certificate that may certify servers, for clients that verify RSA only."""
    return _self_signed(_RSA_SERVICE, private_key, serial_number, at)


def create_issuing_ca(
    root: CertificateAuthority,
    public_key: PublicKey,
    serial_number: SerialNumber,
    at: datetime,
    *,
    subject: x509.Name | None = None,
    end: datetime | None = None,
    addresses: PublicAddresses | None = None,
) -> x509.Certificate:
    """Return the certificate of an authority for devices. It expires with the root, or at ``end`` if that is earlier.

    Without a subject it has that of `issuing_ca_name`. ``addresses`` are where others find out about it.
    """
    return _subordinate(_ISSUING, root, public_key, serial_number, at, subject, end, addresses)


def issuing_ca_name(public_key: PublicKey) -> x509.Name:
    """Return the name of an authority for devices with this key."""
    return _authority_name(_ISSUING, public_key)


def create_service_ca(
    root: CertificateAuthority, public_key: PublicKey, serial_number: SerialNumber, at: datetime
) -> x509.Certificate:
    """Return the certificate of an authority for the service's own servers. It expires with the root."""
    return _subordinate(_SERVICE, root, public_key, serial_number, at)


def create_server_certificate(
    service_ca: CertificateAuthority,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    names: Sequence[str],
    serial_number: SerialNumber,
    at: datetime,
) -> x509.Certificate:
    """Return a server certificate for DNS names and IP addresses, valid for 397 days or until its authority expires.

    After the expiry of the authority it is already expired, because the clock may be wrong and the service should start
    anyway. Raises ServerNameRefused if a name is neither, or there is none.
    """
    alternative_names = _alternative_names(names)
    end = service_ca.certificate.not_valid_after_utc
    not_before = min(_whole_seconds(at), end) - _SERVER_BACKDATE
    not_after = min(not_before + _SERVER_LIFETIME - timedelta(seconds=1), end)
    common_name = names[0] if len(names[0]) <= _COMMON_NAME_BOUND else _SERVER_FALLBACK_NAME
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(service_ca.certificate.subject)
        .public_key(public_key)
        .serial_number(serial_number)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(_authority_key_identifier(service_ca.certificate), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SERVER_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
        .sign(service_ca.private_key, _HASH)
    )


def server_certificate_is_due(
    certificate: x509.Certificate, service_ca: x509.Certificate, names: Sequence[str], at: datetime
) -> bool:
    """Return whether a server needs a new certificate.

    It does if less than a third of the validity is left, the time is before its beginning, the names have changed, or
    another authority issued it. Raises ServerNameRefused for names that no certificate can have.
    """
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc - lifetime / 3:
        return True
    present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if list(present) != _alternative_names(names):
        return True
    return not _is_issued_by(certificate, service_ca)


def certificate_authority(certificate: x509.Certificate, private_key: IssuerKey) -> CertificateAuthority:
    """Return the authority of both; raise KeyMismatch if the key does not match the certificate."""
    check_key_belongs(certificate, private_key)
    return CertificateAuthority(certificate, private_key)


def check_key_belongs(certificate: x509.Certificate, private_key: IssuerKey) -> None:
    """Raise KeyMismatch unless the private key matches the certificate."""
    if certificate.public_key() != private_key.public_key():
        raise KeyMismatch(
            f"the private key does not belong to the certificate of {certificate.subject.rfc4514_string()}"
        )


def _self_signed(
    kind: _AuthorityKind, private_key: IssuerKey, serial_number: SerialNumber, at: datetime
) -> x509.Certificate:
    public_key = private_key.public_key()
    name = _authority_name(kind, public_key)
    builder = _authority_builder(kind, name, public_key, serial_number, _authority_end(at), at)
    return builder.issuer_name(name).sign(private_key, _HASH)


def _subordinate(
    kind: _AuthorityKind,
    root: CertificateAuthority,
    public_key: PublicKey,
    serial_number: SerialNumber,
    at: datetime,
    subject: x509.Name | None = None,
    end: datetime | None = None,
    addresses: PublicAddresses | None = None,
) -> x509.Certificate:
    name = subject or _authority_name(kind, public_key)
    last = root.certificate.not_valid_after_utc
    not_after = last if end is None else min(last, _whole_seconds(end))
    builder = _authority_builder(kind, name, public_key, serial_number, not_after, at)
    builder = builder.issuer_name(root.certificate.subject)
    builder = builder.add_extension(_authority_key_identifier(root.certificate), critical=False)
    for extension, is_critical in () if addresses is None else addresses.extensions():
        builder = builder.add_extension(extension, is_critical)
    return builder.sign(root.private_key, _HASH)


def _authority_builder(
    kind: _AuthorityKind,
    name: x509.Name,
    public_key: PublicKey,
    serial_number: SerialNumber,
    not_after: datetime,
    at: datetime,
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public_key)
        .serial_number(serial_number)
        .not_valid_before(_whole_seconds(at) - _AUTHORITY_BACKDATE)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=kind.path_length), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if kind.purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([kind.purpose]), critical=False)
    return builder


def _authority_name(kind: _AuthorityKind, public_key: PublicKey) -> x509.Name:
    # The digits distinguish authorities of different data directories, and authorities before and after a rotation.
    digits = x509.SubjectKeyIdentifier.from_public_key(public_key).digest[:4].hex()
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{kind.name} {digits}")])


def _authority_end(at: datetime) -> datetime:
    # Every device parses dates in UTCTime correctly. From 2030 on, twenty years need GeneralizedTime.
    return max(END_OF_UTC_TIME, _whole_seconds(at) + _AUTHORITY_LIFETIME)


def _authority_key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _alternative_names(names: Sequence[str]) -> list[x509.GeneralName]:
    if not names:
        raise ServerNameRefused("a server certificate needs a name")
    return [_alternative_name(name) for name in dict.fromkeys(names)]


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise ServerNameRefused(f"{name!r} is neither a DNS name in ASCII nor an IP address")
    return x509.DNSName(name)


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - the errors of a failed verification have no base, and each means no
        return False
    return True


def _whole_seconds(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)
