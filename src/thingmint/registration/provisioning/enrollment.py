"""Owns enrollment in one step: an ACTIVE certificate together with the plan of a template.

EST (RFC 7030) needs it, because EST has no ownership tokens and no second request. The edge authorizes the caller for
the template before. A claim certificate can use only its own template.
"""

from collections.abc import Mapping
from dataclasses import replace

from msgspec import Struct

from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import CertificateId, TemplateName
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.core.provisioning.hook import HookQuestion
from thingmint.core.provisioning.plan import CertificateFacts, ProvisioningPlan, plan
from thingmint.core.provisioning.stored_template import ProvisioningTemplate, TemplateType, ensure_usable
from thingmint.core.provisioning.template import SUBJECT_PARAMETERS, TemplateKind
from thingmint.issuance.csr import SigningRequest
from thingmint.issuance.encoding.pem import sent_pem
from thingmint.issuance.foreign.attributes import certificate_attributes
from thingmint.issuance.keys.key_pairs import KeyPair, PublicKey, load_public_key
from thingmint.records.certificates.serial_reservations import SerialReservation
from thingmint.records.steps import Steps
from thingmint.registration.certificates.issuing import issuance_entry, issue, new_certificate
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import provisioning_templates
from thingmint.registration.provisioning.claims import kept_claim, require_claim
from thingmint.registration.provisioning.hooks import overrides_of_hook
from thingmint.registration.provisioning.provisioning import Provisioned, parsed_template, provision
from thingmint.registration.provisioning.provisioning_certificate import GivenCertificate

_CREATED_FROM_CSR, _CREATED_WITH_KEYS = "CreateCertificateFromCsr", "CreateKeysAndCertificate"
_KINDS = {
    TemplateType.FLEET_PROVISIONING: TemplateKind.FLEET_PROVISIONING,
    TemplateType.JITP: TemplateKind.JITP,
}
_COMMON_NAME = "Subject.CommonName"
# The parameters from the certificate's subject for templates of fleet provisioning: the keys of JITP without their
# prefix, and the usual name of the parameter with the thing's name.
_PARAMETERS = {name.rpartition("::")[2]: attribute for name, attribute in SUBJECT_PARAMETERS.items()} | {
    "ThingName": _COMMON_NAME
}


class Enrollee(Struct, frozen=True):
    """The caller of an enrollment: one with an access key, or a device with a certificate, which may be a claim."""

    caller: Caller
    certificate_id: CertificateId | None = None
    claim: ClaimCertificate | None = None


async def enroll(
    authority: RegistrationAuthority, enrollee: Enrollee, request: SigningRequest, template: TemplateName | None
) -> Certificate:
    """Issue a certificate for a signing request and apply the template to it, in one transaction.

    Raises AccessDenied for a claim that is for another template or no longer valid, or if the hook does not allow the
    device; ResourceNotFound or InvalidRequest for a template that does not exist or is not enabled; what
    `provisioning.provision` raises.
    """
    return await _enroll(authority, enrollee, _CREATED_FROM_CSR, request.public_key, request.subject_der, template)


async def enroll_with_new_key(
    authority: RegistrationAuthority, enrollee: Enrollee, subject_der: bytes | None, template: TemplateName | None
) -> tuple[Certificate, KeyPair]:
    """Generate a key pair, enroll it, and return both. The private key is not stored.

    Raises what `enroll` raises, Throttled if too many callers wait for keys, ServiceUnavailable if generation fails.
    """
    # Checked first, because a key pair costs more than the check.
    await _usable(authority, enrollee, template)
    key_pair = await authority.key_source.take()
    public_key = load_public_key(key_pair.public_key_der)
    certificate = await _enroll(authority, enrollee, _CREATED_WITH_KEYS, public_key, subject_der, template)
    return certificate, key_pair


class _Usable(Struct, frozen=True):
    """A usable template and the body of its default version."""

    template: ProvisioningTemplate
    body: str

    @property
    def kind(self) -> TemplateKind:
        return _KINDS[self.template.type]


class _KeptClaim(Struct, frozen=True):
    """Applies a plan if the claim still exists. Implements `provisioning.Once`, but stores no result."""

    claim: ClaimCertificate | None

    def begin(self) -> Steps[Provisioned | None]:
        """Return None; raise AccessDenied if the claim's template was deleted after the request began."""
        yield from kept_claim(self.claim)
        return None

    def end(self, done: Provisioned) -> Steps[None]:
        """Store nothing."""
        del done
        yield from ()


async def _enroll(
    authority: RegistrationAuthority,
    enrollee: Enrollee,
    action: str,
    public_key: PublicKey,
    subject_der: bytes | None,
    name: TemplateName | None,
) -> Certificate:
    usable = await _usable(authority, enrollee, name)
    if usable is None:
        return await issue(authority, enrollee.caller, action, public_key, subject_der, CertificateStatus.ACTIVE)
    caller = enrollee.caller
    certificate, reservation = await new_certificate(
        authority, caller, public_key, subject_der, CertificateStatus.PENDING_ACTIVATION
    )
    planned = await _planned(authority, enrollee, usable, certificate)
    given = _given(caller, action, certificate, reservation, planned)
    done = await provision(
        authority, caller, planned, template=usable.template, once=_KeptClaim(enrollee.claim), given=given
    )
    assert done.certificate is not None, "templates of these types have a certificate"
    return done.certificate


def _given(
    caller: Caller,
    action: str,
    certificate: Certificate,
    reservation: SerialReservation | None,
    planned: ProvisioningPlan,
) -> GivenCertificate:
    assert planned.certificate is not None, "templates of these types have a certificate"
    issued = replace(certificate, status=planned.certificate.status)
    entry = issuance_entry(caller, action, issued)
    return GivenCertificate(planned.certificate, issued.certificate_id, issued, entry, reservation)


async def _usable(authority: RegistrationAuthority, enrollee: Enrollee, name: TemplateName | None) -> _Usable | None:
    await require_claim(authority, enrollee.claim)
    if name is None:
        if enrollee.claim is not None:
            raise AccessDenied(
                f"The claim certificate is for the provisioning template {enrollee.claim.template_name}: put its name "
                "into the path"
            )
        return None
    template, version = await provisioning_templates.describe(authority, enrollee.caller, name)
    if enrollee.claim is not None and enrollee.claim.template_generation_id != template.generation_id:
        raise AccessDenied("The claim certificate is for another provisioning template")
    ensure_usable(template, template.type)
    return _Usable(template, version.body)


async def _planned(
    authority: RegistrationAuthority, enrollee: Enrollee, usable: _Usable, certificate: Certificate
) -> ProvisioningPlan:
    names = certificate_attributes(certificate.der)
    facts = CertificateFacts(certificate.certificate_id, names)
    parameters: Mapping[str, str] = {
        name: names[attribute][0] for name, attribute in _PARAMETERS.items() if names.get(attribute)
    }
    hook = usable.template.hook
    if hook is not None:
        question = HookQuestion(
            claim_certificate_id=enrollee.certificate_id or "",
            certificate_id=certificate.certificate_id,
            certificate_pem=sent_pem(certificate),
            template_arn=usable.template.arn,
            client_id="",
            parameters=parameters,
        )
        parameters = {**parameters, **await overrides_of_hook(authority, hook, question)}
    return plan(parsed_template(usable.body, usable.kind), parameters, facts)
