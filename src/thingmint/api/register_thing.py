"""Owns the message and operation of RegisterThing over HTTP; its meaning is decided in `registration.provisioning`."""

from functools import partial
from typing import Annotated, TypeAlias

from thingmint.api.binding import BODY
from thingmint.api.constraints import Constraint
from thingmint.api.messages import Message
from thingmint.api.operation import Operation, implemented
from thingmint.api.provisioning_templates import TemplateBodyText
from thingmint.core.caller import Caller
from thingmint.issuance.pem import sent_pem
from thingmint.registration import provisioning
from thingmint.registration.authority import RegistrationAuthority

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
    """Answer with the ARNs of what the template came to, and the certificate if it has one."""
    done = await provisioning.register_thing(authority, caller, request.template_body, request.parameters or {})
    return RegisterThingResponse(
        certificate_pem=None if done.certificate is None else sent_pem(done.certificate),
        resource_arns=dict(done.resource_arns),
    )


def register_thing_operations(authority: RegistrationAuthority) -> tuple[Operation, ...]:
    """Return the operation of this module, working for the authority."""
    return (
        implemented("RegisterThing", partial(register_thing, authority), RegisterThingRequest, RegisterThingResponse),
    )
