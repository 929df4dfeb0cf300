"""Owns issuance: a certificate is prepared, linted, and then signed once. Independent of storage and clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtensionOID

from thingmint.core.errors import InvalidRequest, IssuanceImpossible, ServiceUnavailable, ThingmintError
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.encoding.der import signed_structure
from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.throwaway_keys import throwaway_key_like
from thingmint.issuance.profiles.certificate_form import CertificateForm
from thingmint.issuance.profiles.known_extensions import KnownExtensions
from thingmint.issuance.profiles.lint import Candidate, Expected, lint
from thingmint.issuance.profiles.profile import CertificateProfile
from thingmint.issuance.profiles.public_addresses import PublicAddresses


class ValidityExhausted(ThingmintError):
    """A certificate issued now would not be valid, or would expire after its issuer."""


class IssuerNotValid(ValidityExhausted, ServiceUnavailable):
    """The clock is before the issuer's beginning: it is wrong, and may become right by itself."""


class IssuerEnded(ValidityExhausted, IssuanceImpossible):
    """The clock is past the issuer's end: an operator must rotate the issuer, or set the clock."""


class ProfileExhausted(ValidityExhausted, IssuanceImpossible):
    """The profile's end has passed or is after the issuer's. An operator must change the settings."""


class KeyUsageUnfit(InvalidRequest):
    """The profile's key usages do not exist for this kind of key."""


class PreparedCertificateRefused(Exception):
    """A prepared certificate belongs to another issuer or was issued before. This is a bug of the program."""


class PreparedCertificate:
    """A linted certificate, which the issuer that prepared it can sign once."""

    __slots__ = ("_issuer_seal", "_linted", "not_after", "not_before", "serial_number", "subject_der")

    def __init__(self, issuer_seal: object, linted: Candidate) -> None:
        self._issuer_seal = issuer_seal
        self._linted: Candidate | None = linted
        self.serial_number = SerialNumber(linted.serial_number)
        self.not_before = linted.not_before
        self.not_after = linted.not_after
        self.subject_der = linted.subject_der

    def redeem(self, issuer_seal: object) -> Candidate:
        """Return the linted certificate once; raise PreparedCertificateRefused for another issuer or a second call."""
        if issuer_seal is not self._issuer_seal:
            raise PreparedCertificateRefused("the certificate was prepared by another issuer")
        if self._linted is None:
            raise PreparedCertificateRefused("the certificate was issued before")
        linted, self._linted = self._linted, None
        return linted


Addresses: TypeAlias = Callable[[IssuingCA, SerialNumber], PublicAddresses]
Extensions: TypeAlias = tuple[tuple[x509.ExtensionType, bool], ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """The constant parts of certificates with the same addresses."""

    form: CertificateForm
    extension_order: tuple[x509.ObjectIdentifier, ...]
    addresses: tuple[x509.ExtensionType, ...]
    known: KnownExtensions = field(default_factory=KnownExtensions)


class Issuer:
    """An issuing CA that issues certificates of one profile.

    ``addresses`` returns the URLs of issuer, revocation list and status for a serial number, with few different
    results. Without it, certificates have no URLs, as at AWS IoT.
    """

    def __init__(
        self,
        ca: IssuingCA,
        profile: CertificateProfile,
        addresses: Addresses | None = None,
        *,
        shortens: bool = False,
    ) -> None:
        """Raise IssuerUnfit if the CA's key is not available.

        With ``shortens``, a certificate that would expire after the CA expires with it. Otherwise it is refused.
        """
        if ca.signer is None:
            raise IssuerUnfit("the issuer's private key is missing")
        self.ca = ca
        self._shortens = shortens
        self.profile = profile
        self._signer = ca.signer
        self._seal = object()
        self._issuer_der = ca.certificate.subject.public_bytes()
        self._profile_subject_der = profile.subject.public_bytes()
        self._addresses = addresses
        self._shapes: dict[PublicAddresses | None, _Shape] = {}

    def prepare(
        self, public_key: PublicKey, serial_number: SerialNumber, at: datetime, subject_der: bytes | None = None
    ) -> PreparedCertificate:
        """Return a certificate that was linted with a constant instead of the signature. It can be issued once.

        A subject is a Name in DER. Without one, the profile's is used. Raises KeyUsageUnfit if the profile's usages do
        not fit the key, IssuerNotValid or IssuerEnded if the issuer is not valid at this time, ProfileExhausted if the
        profile has ended or goes past the issuer's, LintFailed if a rule is broken.
        """
        _check_usages_fit(self.profile.key_usage, public_key)
        not_before, not_after = self.validity_at(at)
        subject_der = self._profile_subject_der if subject_der is None else subject_der
        public_key_der = public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        addresses = None if self._addresses is None else self._addresses(self.ca, serial_number)
        shape = self._shape_with(addresses)
        der = shape.form.assemble(serial_number, not_before, not_after, subject_der, public_key_der)
        linted = lint(
            der,
            Expected(
                issuer_der=self._issuer_der,
                issuer_key_identifier=self.ca.key_identifier,
                issuer_not_after=self.ca.not_after,
                serial_number=serial_number,
                not_before=not_before,
                not_after=not_after,
                subject_der=subject_der,
                public_key_der=public_key_der,
                key_usage=self.profile.key_usage,
                extended_key_usage=self.profile.extended_key_usage,
                extension_order=shape.extension_order,
                addresses=shape.addresses,
                known=shape.known,
            ),
        )
        return PreparedCertificate(self._seal, linted)

    def _shape_with(self, addresses: PublicAddresses | None) -> _Shape:
        shape = self._shapes.get(addresses)
        if shape is None:
            shape = self._shapes[addresses] = _shape(self.ca, self.profile, addresses)
        return shape

    @property
    def signs_in_process(self) -> bool:
        """Whether `issue` needs only this process. If not, the serial number must be reserved before."""
        return self._signer.is_in_process

    async def issue(self, prepared: PreparedCertificate) -> bytes:
        """Return the DER of the signed certificate. Its signed part equals the linted bytes.

        Raises PreparedCertificateRefused if another issuer prepared it, it was issued before, or the bytes differ;
        ServiceUnavailable if the key cannot be used now, or a signature from outside of the process is wrong.
        """
        linted = prepared.redeem(self._seal)
        tbs = linted.to_be_signed
        signature = await self._signer.sign(tbs, self.profile.signature_hash)
        der = signed_structure(tbs, linted.outer_algorithm, signature)
        signed = certificate_in_der(der)
        if signed.tbs_certificate_bytes != tbs:
            raise PreparedCertificateRefused("what was signed is not what was linted")
        if not self._signer.is_in_process and not self.ca.has_signed(signed):
            raise ServiceUnavailable("The issuer's signer returned a signature that does not verify")
        return der

    def validity_at(self, at: datetime) -> tuple[datetime, datetime]:
        """Return beginning and end of a certificate issued at this time.

        Raises IssuerNotValid, IssuerEnded, ProfileExhausted.
        """
        if at < self.ca.not_before:
            # The clock is wrong, so the dates would be wrong, too: devices with a right clock would not accept the
            # certificate yet.
            raise IssuerNotValid(
                f"The service's clock is before {_second(self.ca.not_before)}, where its authority begins"
            )
        if at > self.ca.not_after:
            raise IssuerEnded(
                f"The issuer ended at {_second(self.ca.not_after)}: rotate it, or set the service's clock"
            )
        not_before, not_after = self.profile.validity_at(at)
        if not_after <= at:
            raise ProfileExhausted(f"The certificate profile ended at {_second(not_after)}")
        # The beginning may be before the issuer's, by the backdating of the profile: RFC 5280, 6.1.3 looks at each
        # certificate's own period. A longer end would outlive every way to verify the certificate.
        if not_after > self.ca.not_after:
            if self._shortens and at < self.ca.not_after:
                return not_before, self.ca.not_after
            raise ProfileExhausted(f"The certificate would outlive its issuer's end {_second(self.ca.not_after)}")
        return not_before, not_after


def _second(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _shape(ca: IssuingCA, profile: CertificateProfile, addresses: PublicAddresses | None) -> _Shape:
    named = () if addresses is None else addresses.extensions()
    extensions = (*_constant_extensions(profile), *named)
    return _Shape(
        CertificateForm(_sample(ca, profile, extensions)),
        (
            ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
            ExtensionOID.SUBJECT_KEY_IDENTIFIER,
            *(extension.oid for extension, _ in extensions),
        ),
        tuple(extension for extension, _ in named),
    )


def _sample(ca: IssuingCA, profile: CertificateProfile, extensions: Extensions) -> x509.Certificate:
    """Return a sample certificate, signed by a throwaway key. Certificates for devices have the same encoding."""
    key = throwaway_key_like(ca.certificate.public_key())
    builder = (
        x509.CertificateBuilder()
        .issuer_name(ca.certificate.subject)
        .subject_name(profile.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ca.not_before)
        .not_valid_after(ca.not_after)
        # AWS IoT's order. The subject key identifier comes between this one and the constant ones.
        .add_extension(x509.AuthorityKeyIdentifier(ca.key_identifier, None, None), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, profile.signature_hash)


def _constant_extensions(profile: CertificateProfile) -> Extensions:
    # RFC 5280, 4.2.1.3 and 4.2.1.9; critical, as AWS IoT has them.
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (profile.key_usage, True),
    ]
    if profile.extended_key_usage is not None:
        extensions.append((profile.extended_key_usage, False))
    return tuple(extensions)


def _check_usages_fit(usage: x509.KeyUsage, public_key: PublicKey) -> None:
    is_rsa = isinstance(public_key, rsa.RSAPublicKey)
    # RFC 3279, 2.3.1 for RSA keys; RFC 5480, 3 for keys on elliptic curves.
    if is_rsa and usage.key_agreement:
        raise KeyUsageUnfit("The certificate profile's key usage keyAgreement does not exist for RSA keys")
    if not is_rsa and usage.key_encipherment:
        raise KeyUsageUnfit("The certificate profile's key usage keyEncipherment does not exist for ECDSA keys")
