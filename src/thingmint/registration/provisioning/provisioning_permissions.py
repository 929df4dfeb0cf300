"""Owns the AWS actions of a provisioning plan, and the check that the role of its template allows them.

A template can do more than its author: create policies, attach them, activate certificates. At AWS its role limits it.
Here the operator can give policies to roles in the settings. A role without a policy allows everything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from msgspec import structs

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
from thingmint.core.provisioning.plan import FromId, FromSigningRequest, ProvisioningPlan, ThingPlan
from thingmint.core.provisioning.resources import Override
from thingmint.records.registry import thing_group_members as thing_group_member_table
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.tags import stored_tags
from thingmint.registration.policies.authorization import Permission, authorize_all, time_conditions
from thingmint.registration.provisioning.provisioning_certificate import GivenCertificate
from thingmint.registration.provisioning.provisioning_steps import ALL_GROUPS_OF_A_THING

_ANY = "*"
_LEAVE = "iot:RemoveThingFromThingGroup"
_CHANGES = frozenset({Override.REPLACE, Override.MERGE})


async def require_role(
    authority: RegistrationAuthority,
    caller: Caller,
    role_arn: str | None,
    planned: ProvisioningPlan,
    given: GivenCertificate | None,
) -> None:
    """Raise AccessDenied with the first action of the plan that the role does not allow."""
    policy = None if role_arn is None else authority.roles.policy_of(role_arn)
    if role_arn is None or policy is None:
        return
    role = replace(caller, principal=Principal(role_arn, (policy,)))
    certificate_id = None if given is None else given.certificate_id
    is_registered = given is not None and given.new is None
    steps = permissions_of(caller.scope, planned, certificate_id, may_be_registered=is_registered)
    await _require(authority, role, (*steps, *(await _groups_left(authority, caller.scope, planned.thing))))


async def require_groups_not_denied(
    authority: RegistrationAuthority, caller: Caller, planned: ProvisioningPlan
) -> None:
    """Raise AccessDenied if a policy of the caller denies that the plan's thing leaves its groups.

    All other actions of the plan are known from the request and are authorized with it.
    """
    left = await _groups_left(authority, caller.scope, planned.thing)
    await _require(authority, caller, [structs.replace(each, need_not_be_allowed=True) for each in left])


async def _require(authority: RegistrationAuthority, caller: Caller, needed: Sequence[Permission]) -> None:
    times = time_conditions(authority.clock.now())
    await authorize_all(caller, needed, times, partial(stored_tags, authority.store))


async def _groups_left(
    authority: RegistrationAuthority, scope: Scope, planned: ThingPlan | None
) -> Sequence[Permission]:
    if planned is None or planned.groups is None or planned.override_groups is not Override.REPLACE:
        return ()
    memberships = await authority.store.read(
        lambda: thing_group_member_table.groups_of_thing(scope, planned.name, ALL_GROUPS_OF_A_THING)
    )
    names = [each.item[-1] for each in memberships if each.item[-1] not in planned.groups]
    return [Permission(_LEAVE, thing_group_arn(scope, name)) for name in names]


def permissions_of(
    scope: Scope, planned: ProvisioningPlan, certificate_id: CertificateId | None, *, may_be_registered: bool = True
) -> Iterator[Permission]:
    """Yield the permissions that a plan can need; without its id, for any certificate.

    For a certificate in PEM that is registered already, the plan only sets the status.
    """
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
                if may_be_registered:
                    yield Permission("iot:UpdateCertificate", certificate)
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
        # The groups that it leaves are known later: see `_groups_left`.
        for resource in (iot_arn(scope, "thinggroup/*"), thing):
            yield Permission(_LEAVE, resource)
