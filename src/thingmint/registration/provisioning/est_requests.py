"""Owns the requests of EST clients (RFC 7030): reads the signing request in DER, and refuses what no answer can fulfil.

`enrollment` and `renewals` decide and issue.
"""

from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId, TemplateName
from thingmint.issuance.csr import asks_for_alternative_names, load_csr_der, load_subject_der, require_no_key_encryption
from thingmint.issuance.keys.key_pairs import as_pkcs8
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.enrollment import Enrollee, enroll, enroll_with_new_key
from thingmint.registration.provisioning.renewals import renew


async def simple_enroll(
    authority: RegistrationAuthority, enrollee: Enrollee, csr_der: bytes, template: TemplateName | None
) -> Certificate:
    """Issue a certificate for the request; raise InvalidRequest if it cannot be read, or what `enroll` raises."""
    return await enroll(authority, enrollee, load_csr_der(csr_der), template)


async def server_keygen(
    authority: RegistrationAuthority, enrollee: Enrollee, csr_der: bytes, template: TemplateName | None
) -> tuple[Certificate, bytes]:
    """Issue a certificate with a new key, and return both; the private key is in the form of PKCS#8.

    The key and the signature of the request are ignored (RFC 7030, 4.4.1). Raises InvalidRequest if the request cannot
    be read or asks for an encrypted key, or what `enroll_with_new_key` raises.
    """
    subject_der = load_subject_der(csr_der)
    require_no_key_encryption(csr_der)
    certificate, key_pair = await enroll_with_new_key(authority, enrollee, subject_der, template)
    return certificate, as_pkcs8(key_pair)


async def simple_reenroll(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate_id: CertificateId,
    csr_der: bytes,
    *,
    may_provision: bool,
) -> Certificate:
    """Renew the certificate; raise InvalidRequest if the request has a subjectAltName, or what `renew` raises."""
    request = load_csr_der(csr_der)
    if asks_for_alternative_names(csr_der):
        raise InvalidRequest("The request has a subjectAltName, and the certificate has none (RFC 7030, 4.2.2)")
    return await renew(authority, caller, certificate_id, request, may_provision=may_provision)
