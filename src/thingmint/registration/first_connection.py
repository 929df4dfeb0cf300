"""Owns what becomes of a device whose certificate was registered at its first connection (JITP); knows no TLS.

Where the CA's registration configuration has a template, the device is provisioned by it, and its next connection
succeeds. Otherwise the certificate waits for whoever listens for its registration (JITR).
"""

import uuid

from thingmint.core.ca_certificate import RegistrationConfig
from thingmint.core.caller import Caller, Principal
from thingmint.core.certificate import Certificate
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import TemplateName
from thingmint.core.provisioning_plan import CertificateFacts, plan
from thingmint.core.provisioning_template import TemplateType
from thingmint.core.template import TemplateKind
from thingmint.issuance.certificate_attributes import certificate_attributes
from thingmint.registration import provisioning_templates
from thingmint.registration.authority import RegistrationAuthority
from thingmint.registration.auto_registration import AutoRegistration
from thingmint.registration.provisioning import Provisioned, parsed_template, provision


async def provision_at_first_connection(
    authority: RegistrationAuthority, registration: AutoRegistration, source_address: str
) -> Provisioned | None:
    """Carry out the template of the CA's registration configuration; return None where it has none.

    Raises InvalidRequest, ResourceNotFound, InvalidParameters, UpdateConflict and RegistrationFailed as
    `provisioning.provision` does. The certificate stays PENDING_ACTIVATION then, and the device may try again.
    """
    config = registration.ca_certificate.registration_config
    if config is None:
        return None
    caller = _caller(registration.certificate, source_address)
    body, name = await _template(authority, caller, config)
    if body is None:
        return None
    certificate = registration.certificate
    facts = CertificateFacts(certificate.certificate_id, certificate_attributes(certificate.der))
    planned = plan(parsed_template(body, TemplateKind.JITP), {}, facts)
    return await provision(authority, caller, planned, template=name)


async def _template(
    authority: RegistrationAuthority, caller: Caller, config: RegistrationConfig
) -> tuple[str | None, TemplateName | None]:
    if config.template_name is None:
        return config.template_body, None
    name = TemplateName(config.template_name)
    template, version = await provisioning_templates.describe(authority, caller, name)
    if template.type is not TemplateType.JITP:
        raise InvalidRequest(f"The provisioning template {name} is of type {template.type}")
    if not template.enabled:
        raise InvalidRequest(f"The provisioning template {name} is not enabled")
    return version.body, name


def _caller(certificate: Certificate, source_address: str) -> Caller:
    scope = certificate.scope
    return Caller(scope.account, scope.region, Principal(certificate.arn, ()), str(uuid.uuid4()), source_address)
