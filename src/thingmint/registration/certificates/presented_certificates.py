"""Owns the lookup of the registered certificate for a presented one. Independent of TLS.

Several accounts can register the same certificate in SNI_ONLY mode. A device that does not name its account matches
none of them, because it could get the identity of another account's device.
"""

from __future__ import annotations

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.identifiers import AccountId, CertificateId, Region
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
