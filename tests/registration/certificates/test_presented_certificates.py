"""The certificate that a device means."""

from tests.support.certificates.user_ca import new_ca
from tests.support.registration.authority import REGION, caller_with, new_authority

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.registration.certificates.presented_certificates import presented_certificate
from thingmint.registration.certificates.registered_certificates import register_without_ca


async def test_what_an_account_registered_is_what_its_device_presents() -> None:
    authority, caller = new_authority(), caller_with()
    registered = await register_without_ca(authority, caller, new_ca().issue_pem(), CertificateStatus.ACTIVE)
    certificate_id = registered.certificate_id
    assert await presented_certificate(authority, REGION, caller.account, certificate_id) == registered
    assert await presented_certificate(authority, REGION, None, certificate_id) is None
