"""Owns the parsing of revocation lists of the service's own issuers (RFC 5280, 5). Independent of storage and clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import issuer_id_of
from thingmint.issuance.encoding.parsing import READING_ERRORS, revocation_list_in_der, revocation_list_in_pem

_REASONS = {reason.word: reason for reason in RevocationReason}


class ListUnusable(ValueError):
    """The bytes are not a revocation list of one of the issuers. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list with a verified signature, and the issuer that has signed it."""

    issuer_id: str
    number: int
    _issuer: x509.Certificate = field(repr=False)
    _parsed: x509.CertificateRevocationList = field(repr=False)

    def revocations(self) -> Iterator[Revocation]:
        """Yield each entry. Its certificate's expiry is taken to be the issuer's, because it is not later.

        A reason that the service never gives becomes unspecified. The certificate is revoked in any case.
        """
        for entry in self._parsed:
            try:
                word = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
            except x509.ExtensionNotFound:
                word = RevocationReason.UNSPECIFIED.word
            yield Revocation(
                issuer_id=self.issuer_id,
                serial_number=SerialNumber(entry.serial_number),
                reason=_REASONS.get(word, RevocationReason.UNSPECIFIED),
                revoked_at=entry.revocation_date_utc,
                not_after=self._issuer.not_valid_after_utc,
            )


def read_list(content: bytes, issuers: Sequence[x509.Certificate]) -> RevocationList:
    """Return the list in DER or PEM; raise ListUnusable if it is not a list that one of the issuers has signed."""
    is_pem = content.lstrip().startswith(b"-----BEGIN")
    try:
        parsed = revocation_list_in_pem(content) if is_pem else revocation_list_in_der(content)
        number = parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        name = parsed.issuer
    except (*READING_ERRORS, x509.ExtensionNotFound) as error:
        raise ListUnusable("it is not a certificate revocation list with a number") from error
    for issuer in issuers:
        if issuer.subject == name and _has_signed(issuer, parsed):
            return RevocationList(issuer_id_of(issuer), number, issuer, parsed)
    raise ListUnusable("none of the service's issuers has signed it")


def _has_signed(issuer: x509.Certificate, parsed: x509.CertificateRevocationList) -> bool:
    public_key = issuer.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey), "an issuer has such a key"
    return parsed.is_signature_valid(public_key)
