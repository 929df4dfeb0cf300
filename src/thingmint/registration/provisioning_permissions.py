"""Owns what a provisioning plan does in the words of AWS's actions, and whether the role of its template allows it.

A template can do what its author could not: create policies, attach them, activate certificates. At AWS its role
decides. Here roles have policies if the operator gives them some in the settings; a role without one allows everything.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from thingmint.core.caller import Caller, Principal
from thingmint.core.identifiers import (
    CertificateId,
    Scope,
    billing_group_arn,
    iot_arn,
    policy_arn,
    thing_arn,
    thing_group_arn,
)
from thingmint.core.provisioning_plan import FromId, FromSigningRequest, ProvisioningPlan, ThingPlan
from thingmint.core.template_resources import Override
from thingmint.registration.authority import RegistrationAuthority
from thingmint.registration.authorization import Permission, authorize_all
from thingmint.registration.tags import stored_tags

_ANY = "*"
_CHANGES = frozenset({Override.REPLACE, Override.MERGE})


async def require_role(
    authority: RegistrationAuthority,
    caller: Caller,
    role_arn: str | None,
    planned: ProvisioningPlan,
    certificate_id: CertificateId | None,
) -> None:
    """Return if the role may do all that the plan does for the caller; raise AccessDenied naming what it may not."""
    policy = None if role_arn is None else authority.roles.policy_of(role_arn)
    if role_arn is None or policy is None:
        return
    role = replace(caller, principal=Principal(role_arn, (policy,)))
    needed = tuple(permissions_of(caller.scope, planned, certificate_id))
    now = authority.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    await authorize_all(role, needed, {"aws:CurrentTime": (now,)}, partial(stored_tags, authority.store))


def permissions_of(
    scope: Scope, planned: ProvisioningPlan, certificate_id: CertificateId | None
) -> Iterator[Permission]:
    """Yield everything that a plan may have to do; without its id, the certificate is any."""
    certificate = iot_arn(scope, f"cert/{certificate_id or _ANY}")
    for policy in planned.policies:
        if policy.document is not None:
            yield Permission("iot:CreatePolicy", policy_arn(scope, policy.name))
        if planned.certificate is not None:
            yield Permission("iot:AttachPolicy", certificate)
    if planned.thing is not None:
        yield from _thing(scope, planned.thing)
    if planned.certificate is not None:
        match planned.certificate.source:
            case FromId():
                yield Permission("iot:UpdateCertificate", certificate)
            case FromSigningRequest():
                yield Permission("iot:CreateCertificateFromCsr", _ANY)
            case _:
                yield Permission("iot:RegisterCertificate", _ANY)
        if planned.thing is not None:
            thing = thing_arn(scope, planned.thing.name)
            yield Permission("iot:AttachThingPrincipal", certificate, {"iot:thingArn": (thing,)})


def _thing(scope: Scope, planned: ThingPlan) -> Iterator[Permission]:
    thing = thing_arn(scope, planned.name)
    yield Permission("iot:CreateThing", thing)
    if _CHANGES & {planned.override_attributes, planned.override_type}:
        yield Permission("iot:UpdateThing", thing)
    if planned.billing_group is not None:
        for resource in (billing_group_arn(scope, planned.billing_group), thing):
            yield Permission("iot:AddThingToBillingGroup", resource)
    for group in planned.groups or ():
        for resource in (thing_group_arn(scope, group), thing):
            yield Permission("iot:AddThingToThingGroup", resource)
    if planned.groups is not None and planned.override_groups is Override.REPLACE:
        # Which groups it leaves is known when it is there.
        for resource in (iot_arn(scope, "thinggroup/*"), thing):
            yield Permission("iot:RemoveThingFromThingGroup", resource)
