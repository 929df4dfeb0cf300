"""Owns RegisterThing over HTTP and its messages. The rules are in `registration.provisioning.provisioning`."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from msgspec.structs import replace

from thingmint.api.provisioning.provisioning_templates import TemplateBodyText
from thingmint.api.wire.messages import Message
from thingmint.api.wire.reading.binding import BODY, RawRequest
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.core.provisioning.plan import CertificatePlan, FromId, FromPem, ProvisioningPlan, plan
from thingmint.core.provisioning.template import TemplateKind
from thingmint.issuance.encoding.pem import sent_pem
from thingmint.issuance.foreign.certificate import load_foreign_pem
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies.authorization import Permission
from thingmint.registration.provisioning import provisioning
from thingmint.registration.provisioning.provisioning import parsed_template
from thingmint.registration.provisioning.provisioning_permissions import permissions_of

ParameterName: TypeAlias = Annotated[str, Constraint(min_length=0, max_length=2048, pattern=r"[\s\S]*")]
ParameterValue: TypeAlias = Annotated[str, Constraint(min_length=0, max_length=4096, pattern=r"[\s\S]*")]


class RegisterThingRequest(Message, frozen=True, kw_only=True):
    template_body: Annotated[TemplateBodyText, BODY]
    parameters: Annotated[dict[ParameterName, ParameterValue] | None, BODY] = None


class RegisterThingResponse(Message, frozen=True, kw_only=True):
    certificate_pem: str | None = None
    resource_arns: dict[str, str]


async def register_thing(
    authority: RegistrationAuthority, caller: Caller, request: RegisterThingRequest
) -> RegisterThingResponse:
    """Answer with the ARNs of the template's resources, and the certificate if it has one.

    Atomic; refused if the caller's policies deny a step. The same request with an existing certificate changes nothing.
    """
    done = await provisioning.register_thing(authority, caller, request.template_body, request.parameters or {})
    return RegisterThingResponse(
        certificate_pem=None if done.certificate is None else sent_pem(done.certificate),
        resource_arns=dict(done.resource_arns),
    )


def registration_steps(scope: Scope, raw: RawRequest) -> Sequence[Permission]:
    """Return the actions of the template's steps: policies must not deny any of them, and need not allow them.

    A request without a valid plan has no steps here; it is refused later, when it is carried out.
    """
    body = raw.unchecked_members
    text, parameters = body.get("templateBody"), body.get("parameters") or {}
    if not isinstance(text, str) or not isinstance(parameters, dict):
        return ()
    given = {name: value for name, value in parameters.items() if isinstance(value, str)}
    try:
        planned = plan(parsed_template(text, TemplateKind.REGISTER_THING), given)
        steps = permissions_of(scope, planned, _certificate_id(planned))
        return [replace(each, need_not_be_allowed=True) for each in steps]
    except ThingmintError:
        return ()


def _certificate_id(planned: ProvisioningPlan) -> CertificateId | None:
    match planned.certificate:
        case CertificatePlan(source=FromId(certificate_id)):
            return certificate_id
        case CertificatePlan(source=FromPem(certificate_pem=pem)):
            return load_foreign_pem(pem, "certificate").certificate_id
        case _:
            return None
