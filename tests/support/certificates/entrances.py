"""Owns the ways by which a certificate of somebody else's CA comes into a registry; knows no test's expectations."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.support.certificates.user_ca import UserCA
from tests.support.registration.authority import REGION, caller_with
from tests.support.registration.templates import template_of_pem

from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import CACertificate, RegistrationConfig
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.identifiers import AccountId
from thingmint.registration.certificates import ca_certificates, certificates, registration_codes
from thingmint.registration.certificates.auto_registration import FirstConnection, auto_register
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.certificates.registered_certificates import register, register_without_ca
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.provisioning import register_thing

CALLER, OTHER = caller_with(), caller_with(account=AccountId("222222222222"))
CONNECTION = FirstConnection(REGION, None, "192.0.2.7", "request-9")
ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
TEMPLATE = template_of_pem()
Enter: TypeAlias = Callable[[RegistrationAuthority, str], Awaitable[object]]
"""Takes the authority and a certificate's PEM."""


async def open_ca(
    authority: RegistrationAuthority,
    ca: UserCA,
    caller: Caller = CALLER,
    *,
    default: bool = True,
    config: RegistrationConfig | None = None,
) -> CACertificate:
    """Register the CA, active and with automatic registration, in DEFAULT mode or else in SNI_ONLY mode."""
    mode, verification = CertificateMode.SNI_ONLY, None
    if default:
        mode = CertificateMode.DEFAULT
        verification = ca.issue_pem(await registration_codes.registration_code(authority, caller))
    request = CARegistration(
        ca.pem, verification, mode, active=True, auto_registration=True, registration_config=config
    )
    return await ca_certificates.register(authority, caller, request)


async def with_ca(authority: RegistrationAuthority, pem: str) -> Certificate:
    """Register the certificate with the CA that signed it."""
    return await register(authority, CALLER, pem, None, ACTIVE)


async def without_ca(authority: RegistrationAuthority, pem: str) -> Certificate:
    """Register the certificate without a CA."""
    return await register_without_ca(authority, CALLER, pem, ACTIVE)


async def by_template(authority: RegistrationAuthority, pem: str) -> object:
    """Register the certificate by RegisterThing."""
    return await register_thing(authority, CALLER, TEMPLATE, {"Pem": pem})


async def by_connecting(authority: RegistrationAuthority, pem: str) -> object:
    """Register the certificate by a first connection for no account by name."""
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    done = await auto_register(authority, CONNECTION, der)
    assert done is not None
    return done


async def revoked_and_deleted(authority: RegistrationAuthority, certificate: Certificate) -> None:
    """Revoke the account's certificate and delete it."""
    await certificates.update_status(authority, CALLER, certificate.certificate_id, REVOKED)
    await certificates.delete(authority, CALLER, certificate.certificate_id)
