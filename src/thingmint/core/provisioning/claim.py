"""Owns the certificates of CreateProvisioningClaim: what they may be used for, and how long.

A claim is bound to the identity of one template. A template created later with the same name has another identity.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from thingmint.core.identifiers import CertificateId, Scope, TemplateName

# AWS's developer guide, "Provisioning by trusted user": the claim is for five minutes.
CLAIM_VALID_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ClaimCertificate:
    """A certificate of CreateProvisioningClaim. No list shows it, and it provisions with its template only."""

    scope: Scope
    certificate_id: CertificateId
    template_name: TemplateName
    template_generation_id: str
    expires_at: datetime

    def is_valid_at(self, at: datetime) -> bool:
        """Return whether the claim may still be used. The period includes its last second (RFC 5280, 4.1.2.5)."""
        return at < self.expires_at + timedelta(seconds=1)
