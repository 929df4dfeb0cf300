"""Owns the lookup of the registered certificate for a presented one, and of its later states. Independent of TLS.

Several accounts can register the same certificate in SNI_ONLY mode. A device that does not name its account matches
none of them, because it could get the identity of another account's device.
"""

from __future__ import annotations

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.identifiers import AccountId, CertificateId, Region
from thingmint.core.policies.target import CertificateTarget
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority


async def presented_certificate(
    authority: RegistrationAuthority, region: Region, account: AccountId | None, certificate_id: CertificateId
) -> Certificate | None:
    """Return the certificate of the account that the device named, or else the one in DEFAULT mode, in any status.

    None means that the certificate is not registered. `auto_registration.auto_register` may register it.
    """

    def program() -> Steps[Certificate | None]:
        return certificate_table.presented_certificate(region, certificate_id, account)

    return await authority.store.read(program)


async def registered_certificate(authority: RegistrationAuthority, target: CertificateTarget) -> Certificate | None:
    """Return the certificate as it is now, in any status; None if it is not registered any more."""

    def program() -> Steps[Certificate | None]:
        return certificate_table.certificate(target.scope, target.certificate_id)

    return await authority.store.read(program)
