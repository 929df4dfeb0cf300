"""Owns the provisioning of devices at their first connection (JITP). Does not handle TLS or verify certificates.

`auto_registration` has registered the certificate with the CA that signed it. The template of that CA's configuration
creates the device's other resources. The device can connect again until this succeeds.
"""

from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import RegistrationConfig
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import parse_template_name
from thingmint.core.provisioning.plan import CertificateFacts, plan
from thingmint.core.provisioning.stored_template import ProvisioningTemplate, TemplateType, ensure_usable
from thingmint.core.provisioning.template import Template, TemplateKind
from thingmint.issuance.foreign.attributes import certificate_attributes
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import provisioning_templates
from thingmint.registration.provisioning.provisioning import Provisioned, parsed_template, provision


async def provision_at_first_connection(
    authority: RegistrationAuthority, caller: Caller, certificate: Certificate, config: RegistrationConfig
) -> Provisioned:
    """Apply the template of the CA's configuration to a certificate that waits for its activation.

    Its parameters are the names in the certificate's subject. Raises InvalidRequest for a certificate with another
    status, a configuration without a template, or a template that is not enabled or of another type; ResourceNotFound
    for an unknown template; InvalidParameters, UpdateConflict and RegistrationFailed as `provisioning.provision` does.
    """
    if certificate.status is not CertificateStatus.PENDING_ACTIVATION:
        raise InvalidRequest(f"The certificate {certificate.certificate_id} is {certificate.status} already")
    template, body = await _template(authority, caller, config)
    facts = CertificateFacts(certificate.certificate_id, certificate_attributes(certificate.der))
    return await provision(authority, caller, plan(body, {}, facts), template=template, role_arn=config.role_arn)


async def _template(
    authority: RegistrationAuthority, caller: Caller, config: RegistrationConfig
) -> tuple[ProvisioningTemplate | None, Template]:
    if config.template_body is not None:
        return None, parsed_template(config.template_body, TemplateKind.JITP)
    if config.template_name is None:
        raise InvalidRequest("The CA certificate's configuration has no template")
    template, version = await provisioning_templates.describe(
        authority, caller, parse_template_name(config.template_name)
    )
    ensure_usable(template, TemplateType.JITP)
    return template, parsed_template(version.body, TemplateKind.JITP)
