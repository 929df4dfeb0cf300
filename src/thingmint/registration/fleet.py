"""Owns how a device gets its identity by itself: keys or a certificate, then its place in the registry.

Both edges of fleet provisioning end here. What a device may ask for at all was decided before, by its policies; a claim
certificate has none, and may use its own template alone.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from thingmint.core.caller import Caller
from thingmint.core.certificate import Certificate, CertificateStatus
from thingmint.core.errors import AccessDenied
from thingmint.core.hook import HOOK_SECONDS, HookFailed, HookQuestion, hook_answer
from thingmint.core.identifiers import CertificateId, TemplateName
from thingmint.core.ownership import Ownership, OwnershipTokenInvalid
from thingmint.core.provisioning_plan import CertificateFacts, plan
from thingmint.core.provisioning_template import PreProvisioningHook, TemplateType, ensure_usable
from thingmint.core.template import TemplateKind
from thingmint.issuance.csr import load_csr
from thingmint.issuance.keys import KeyPair, load_public_key
from thingmint.issuance.pem import sent_pem
from thingmint.registration import provisioning_templates
from thingmint.registration.authority import RegistrationAuthority
from thingmint.registration.certificate_providers import provided_certificate, record_provided
from thingmint.registration.issuing import issue, new_certificate, record
from thingmint.registration.ownership import note_ownership, ownership_of_new, ownership_token, redeemed_token
from thingmint.registration.provisioning import Provisioned, parsed_template, provision

# The same for every reason: what a hook says and how it fails is its operator's business, not the device's.
_NOT_ALLOWED = "The pre-provisioning hook did not allow the device"


@dataclass(frozen=True, slots=True)
class Device:
    """Who calls over a device's connection: its certificate and, for a claim, the one template that it may use."""

    caller: Caller
    certificate_id: CertificateId
    only_template: TemplateName | None = None


@dataclass(frozen=True, slots=True)
class IssuedIdentity:
    """A certificate that waits for its activation, and what proves that it is the device's."""

    certificate: Certificate
    ownership_token: str


async def create_keys(authority: RegistrationAuthority, device: Device) -> tuple[IssuedIdentity, KeyPair]:
    """Make a key pair and a certificate that waits for its activation; return both with the ownership token.

    Raises Throttled if too many callers wait for keys, ServiceUnavailable if no key can be made or nothing stored.
    """
    key_pair = await authority.key_source.take()
    certificate = await issue(
        authority,
        device.caller,
        "CreateKeysAndCertificate",
        load_public_key(key_pair.public_key_der),
        None,
        CertificateStatus.PENDING_ACTIVATION,
        note_ownership,
    )
    return _identity(authority, certificate), key_pair


async def create_from_csr(
    authority: RegistrationAuthority, device: Device, csr_pem: str, client_id: str
) -> IssuedIdentity:
    """Issue a certificate that waits for its activation for a signing request; return it with the ownership token.

    If the account has a certificate provider, that signs it, and is told the client id of the device's connection.
    Raises InvalidRequest for a request that is not accepted, ServiceUnavailable if nothing can be stored or the
    provider provides nothing.
    """
    request = load_csr(csr_pem)
    certificate = await provided_certificate(
        authority, device.caller, csr_pem, request, principal_id=device.certificate_id, client_id=client_id
    )
    if certificate is None:
        certificate = new_certificate(
            authority, device.caller, request.public_key, request.subject, CertificateStatus.PENDING_ACTIVATION
        )
        await record(authority, device.caller, "CreateCertificateFromCsr", certificate, note_ownership)
    else:
        await record_provided(authority, device.caller, certificate, note_ownership)
    return _identity(authority, certificate)


async def register_thing(
    authority: RegistrationAuthority,
    device: Device,
    name: TemplateName,
    token: str,
    parameters: Mapping[str, str],
    client_id: str,
) -> Provisioned:
    """Carry out the template for the certificate that the token proves; the same call again changes nothing more.

    Raises OwnershipTokenInvalid; AccessDenied if the claim is for another template or the hook does not allow it;
    ResourceNotFound or InvalidRequest for a template that does not exist or is not enabled; InvalidParameters,
    UpdateConflict and RegistrationFailed as `provisioning.provision` does.
    """
    ownership = redeemed_token(authority, device.caller, token)
    if device.only_template not in (None, name):
        raise AccessDenied("The claim certificate is for another provisioning template")
    template, version = await provisioning_templates.describe(authority, device.caller, name)
    ensure_usable(template, TemplateType.FLEET_PROVISIONING)
    certificate = await _certificate(authority, device.caller, ownership)
    if template.hook is not None:
        question = HookQuestion(
            claim_certificate_id=device.certificate_id,
            certificate_id=certificate.certificate_id,
            certificate_pem=sent_pem(certificate),
            template_arn=template.arn,
            client_id=client_id,
            parameters=parameters,
        )
        parameters = {**parameters, **await _overrides(authority, template.hook, question)}
    facts = CertificateFacts(certificate.certificate_id)
    planned = plan(parsed_template(version.body, TemplateKind.FLEET_PROVISIONING), parameters, facts)
    return await provision(authority, device.caller, planned, template=name)


def _identity(authority: RegistrationAuthority, certificate: Certificate) -> IssuedIdentity:
    return IssuedIdentity(certificate, ownership_token(authority, ownership_of_new(certificate)))


async def _overrides(
    authority: RegistrationAuthority, hook: PreProvisioningHook, question: HookQuestion
) -> Mapping[str, str]:
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            answer = hook_answer(await authority.hooks.ask(hook, question))
    except (HookFailed, TimeoutError) as error:
        raise AccessDenied(_NOT_ALLOWED) from error
    if not answer.allow_provisioning:
        raise AccessDenied(_NOT_ALLOWED)
    return answer.parameter_overrides


async def _certificate(authority: RegistrationAuthority, caller: Caller, ownership: Ownership) -> Certificate:
    found = await authority.store.read(
        lambda transaction: transaction.certificate(caller.scope, ownership.certificate_id)
    )
    if found is None:
        raise OwnershipTokenInvalid("The certificate of the ownership token does not exist any more.")
    return found
