"""Owns the extensions of a certificate with the URLs of its issuer, its revocation list and its status."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID


@dataclass(frozen=True, slots=True)
class PublicAddresses:
    """The URIs in one certificate (RFC 5280, 4.2.1.13 and 4.2.2.1)."""

    revocation_list: str
    issuer: str
    status: str

    def extensions(self) -> tuple[tuple[x509.ExtensionType, bool], ...]:
        """Return the extensions with their criticality, in the order in which a certificate has them."""
        points = x509.CRLDistributionPoints(
            [x509.DistributionPoint([x509.UniformResourceIdentifier(self.revocation_list)], None, None, None)]
        )
        access = x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(self.status)),
                x509.AccessDescription(
                    AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(self.issuer)
                ),
            ]
        )
        return (points, False), (access, False)
