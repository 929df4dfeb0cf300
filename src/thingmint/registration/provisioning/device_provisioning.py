"""Owns fleet provisioning: a device gets keys or a certificate, and then registers its thing.

Both edges of fleet provisioning call it. They have authorized the request by the device's policies before. A claim
certificate has no policies and can use only its own template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import PrincipalId, TemplateName
from thingmint.core.principals import is_access_key
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.core.provisioning.hook import HookQuestion
from thingmint.core.provisioning.ownership import request_digest
from thingmint.core.provisioning.plan import CertificateFacts, plan
from thingmint.core.provisioning.stored_template import (
    ProvisioningTemplate,
    TemplateType,
    ensure_usable,
)
from thingmint.core.provisioning.template import TemplateKind
from thingmint.issuance.csr import load_csr
from thingmint.issuance.encoding.pem import sent_pem
from thingmint.issuance.keys.key_pairs import KeyPair, load_public_key
from thingmint.records.steps import Steps
from thingmint.registration.certificates.certificate_providers import provided_certificate, record_provided
from thingmint.registration.certificates.issuing import issue
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import provisioning_templates
from thingmint.registration.provisioning.claims import kept_claim, require_claim
from thingmint.registration.provisioning.hooks import overrides_of_hook
from thingmint.registration.provisioning.ownership import (
    ownership_of_new,
    ownership_token,
    record_ownership,
    redeemed_token,
)
from thingmint.registration.provisioning.provisioning import Provisioned, parsed_template, provision
from thingmint.registration.provisioning.redemption import Redemption


class FleetDevice(Struct, frozen=True):
    """The caller of a device's connection: its certificate or access key, and the claim if it is one."""

    caller: Caller
    principal_id: PrincipalId
    claim: ClaimCertificate | None = None


class IssuedIdentity(Struct, frozen=True):
    """A certificate that waits for its activation, and the token that proves its ownership."""

    certificate: Certificate
    ownership_token: str


async def create_keys(authority: RegistrationAuthority, device: FleetDevice) -> tuple[IssuedIdentity, KeyPair]:
    """Generate a key pair and a certificate that waits for its activation; return both with the ownership token.

    Raises Throttled if too many callers wait for keys, ServiceUnavailable if key generation or storage fails,
    AccessDenied for a claim that is no longer valid.
    """
    await require_claim(authority, device.claim)
    key_pair = await authority.key_source.take()
    certificate = await issue(
        authority,
        device.caller,
        "CreateKeysAndCertificate",
        load_public_key(key_pair.public_key_der),
        None,
        CertificateStatus.PENDING_ACTIVATION,
        _beside(device),
    )
    return _identity(authority, certificate), key_pair


async def create_from_csr(
    authority: RegistrationAuthority, device: FleetDevice, csr_pem: str, client_id: str
) -> IssuedIdentity:
    """Issue a certificate for a signing request, which waits for its activation; return it with the ownership token.

    If the account has a certificate provider, the provider signs it and gets the client id of the device's connection.
    Raises InvalidRequest for a request that is not accepted, ServiceUnavailable if storage or the provider fails,
    AccessDenied for a claim that is no longer valid.
    """
    await require_claim(authority, device.claim)
    request = load_csr(csr_pem)
    certificate = await provided_certificate(
        authority, device.caller, csr_pem, request, principal_id=device.principal_id, client_id=client_id
    )
    if certificate is None:
        certificate = await issue(
            authority,
            device.caller,
            "CreateCertificateFromCsr",
            request.public_key,
            request.subject_der,
            CertificateStatus.PENDING_ACTIVATION,
            _beside(device),
        )
    else:
        await record_provided(authority, device.caller, certificate, _beside(device))
    return _identity(authority, certificate)


async def register_thing(
    authority: RegistrationAuthority,
    device: FleetDevice,
    name: TemplateName,
    token: str,
    parameters: Mapping[str, str],
    client_id: str,
) -> Provisioned:
    """Apply the template to the certificate of the token. A repeated call returns the same answer.

    Raises OwnershipTokenInvalid, also for a token that another call has used; AccessDenied if the claim is for
    another template or no longer valid, or the hook does not allow it; Throttled if the hook is busy;
    ResourceNotFound or InvalidRequest for a template that does not exist or is not enabled; InvalidParameters,
    UpdateConflict and RegistrationFailed as `provisioning.provision` does.
    """
    ownership = redeemed_token(authority, device.caller, token)
    await require_claim(authority, device.claim)
    template, version = await provisioning_templates.describe(authority, device.caller, name)
    _require_own_template(device.claim, template)
    ensure_usable(template, TemplateType.FLEET_PROVISIONING)
    redemption = Redemption(authority, ownership, request_digest(template.generation_id, parameters))
    certificate, earlier = await redemption.read()
    if template.hook is not None:
        question = HookQuestion(
            claim_certificate_id="" if is_access_key(device.principal_id) else device.principal_id,
            certificate_id=certificate.certificate_id,
            certificate_pem=sent_pem(certificate),
            template_arn=template.arn,
            client_id=client_id,
            parameters=parameters,
        )
        parameters = {**parameters, **await overrides_of_hook(authority, template.hook, question)}
    if earlier is not None:
        return earlier
    facts = CertificateFacts(certificate.certificate_id)
    planned = plan(parsed_template(version.body, TemplateKind.FLEET_PROVISIONING), parameters, facts)
    return await provision(authority, device.caller, planned, template=template, once=redemption)


def _identity(authority: RegistrationAuthority, certificate: Certificate) -> IssuedIdentity:
    return IssuedIdentity(certificate, ownership_token(authority, ownership_of_new(certificate)))


def _beside(device: FleetDevice) -> Callable[[Certificate], Steps[None]]:
    def note(certificate: Certificate) -> Steps[None]:
        yield from kept_claim(device.claim)
        yield from record_ownership(certificate)

    return note


def _require_own_template(claim: ClaimCertificate | None, template: ProvisioningTemplate) -> None:
    if claim is not None and claim.template_generation_id != template.generation_id:
        raise AccessDenied("The claim certificate is for another provisioning template")
