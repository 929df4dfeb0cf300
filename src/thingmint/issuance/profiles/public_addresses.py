"""Owns the extensions of a certificate with the URLs of its issuer, its revocation list and its status."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

_MOST_CHARACTERS = 1024
_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class PublicAddresses:
    """The URIs in one certificate (RFC 5280, 4.2.1.13 and 4.2.2.1). An extension without a URI is left out."""

    revocation_list: str | None
    issuer: str | None
    status: str | None

    def extensions(self) -> tuple[tuple[x509.ExtensionType, bool], ...]:
        """Return the extensions with their criticality, in the order in which a certificate has them."""
        found: list[tuple[x509.ExtensionType, bool]] = []
        if self.revocation_list is not None:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(self.revocation_list)], None, None, None)
            found.append((x509.CRLDistributionPoints([point]), False))
        methods = (
            (AuthorityInformationAccessOID.OCSP, self.status),
            (AuthorityInformationAccessOID.CA_ISSUERS, self.issuer),
        )
        access = [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
            for method, url in methods
            if url is not None
        ]
        if access:
            found.append((x509.AuthorityInformationAccess(access), False))
        return tuple(found)


def is_public_url(text: str) -> bool:
    """Return whether the text can be such a URI: absolute, of HTTP or HTTPS, with a host, of visible ASCII."""
    if len(text) > _MOST_CHARACTERS or not _VISIBLE.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        # Reading an invalid port raises ValueError.
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        return False
