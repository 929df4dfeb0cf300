"""Owns which registered certificate a device means by the one that it presents; knows no TLS.

Several accounts may have registered the same certificate in SNI_ONLY mode: a device that does not say whose it is gets
none of them, for it could be taken for somebody else's.
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

    None means that the device is unknown: `auto_registration.auto_register` may know its CA.
    """

    def program() -> Steps[Certificate | None]:
        return certificate_table.presented_certificate(region, certificate_id, account)

    return await authority.store.read(program)
