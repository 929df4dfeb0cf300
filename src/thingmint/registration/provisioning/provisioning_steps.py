"""Owns the steps of a provisioning plan: policies, thing and certificate as programs that compose in one transaction.

Locks are taken in the order of `policy_attachments` and `thing_principals`: policies, the thing and what it belongs to,
then the certificate.
"""

from collections.abc import Sequence
from datetime import datetime

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.errors import RegistrationFailed, UpdateConflict
from thingmint.core.identifiers import CertificateId, Scope, ThingGroupName, certificate_arn
from thingmint.core.paging import PageRequest
from thingmint.core.policies.stored_policy import FIRST_VERSION, DevicePolicy, PolicyVersion
from thingmint.core.provisioning.overrides import (
    ensure_may_exist,
    groups_to_change,
    new_thing,
    overridden_thing,
    provisioned_certificate,
)
from thingmint.core.provisioning.plan import CertificatePlan, PolicyPlan, ThingPlan
from thingmint.core.registry.registry_event import (
    GroupMembershipEvent,
    RegistryEvent,
    creation_of_thing,
    update_of_thing,
)
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_group import MAX_GROUPS_OF_A_THING
from thingmint.core.registry.thing_type import ThingType, ensure_assignable
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.policies import policies as policy_table
from thingmint.records.registry import billing_groups as billing_group_table
from thingmint.records.registry import thing_group_members as thing_group_member_table
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry import thing_types as thing_type_table
from thingmint.records.registry import things as thing_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.standing import record_standing
from thingmint.registration.registry.thing_group_members import each_group, join_group, leave_group

ALL_GROUPS_OF_A_THING = PageRequest(MAX_GROUPS_OF_A_THING, None, ascending=True)


def policy_step(scope: Scope, planned: PolicyPlan, generation_id: str, at: datetime) -> Steps[bool]:
    """Create the policy unless it exists; return whether it was created.

    Raises RegistrationFailed if a policy without a document does not exist, UpdateConflict if a policy with the name of
    the document exists but no version of it has the document.
    """
    if planned.document is None:
        if not (yield from policy_table.policy_kept(scope, planned.name)):
            raise RegistrationFailed(f"The policy {planned.name} does not exist")
        return False
    policy = DevicePolicy(scope, planned.name, FIRST_VERSION, FIRST_VERSION, generation_id, at, at)
    if (yield from policy_table.insert_policy(policy)):
        version = PolicyVersion(FIRST_VERSION, planned.document, at, at)
        yield from policy_table.insert_policy_version(policy, version)
        return True
    yield from _require_document(scope, planned)
    return False


def thing_step(
    scope: Scope,
    planned: ThingPlan,
    certificate_id: CertificateId | None,
    thing_id: str,
    at: datetime,
) -> Steps[tuple[Thing, tuple[RegistryEvent, ...]]]:
    """Create the thing or change it as planned; return it, locked for update, and what happened.

    ``certificate_id`` is the plan's certificate, if it has one. Raises RegistrationFailed if the thing's type or
    billing group does not exist, ResourceNotFound for a thing group, InvalidRequest and UpdateConflict.
    """
    thing_type = yield from _kept_type(scope, planned)
    yield from _keep_billing_group(scope, planned)
    created = new_thing(scope, planned, thing_id, at)
    existing = yield from thing_table.insert_thing(created)
    if existing is None:
        if thing_type is not None:
            ensure_assignable(thing_type)
        joined = yield from _join(created, planned.groups or ())
        return created, (*creation_of_thing(created), *joined)
    ensure_may_exist(planned, is_attached=(yield from _is_attached(existing, certificate_id)))
    after = overridden_thing(existing, planned)
    if after.type_name != existing.type_name and thing_type is not None:
        ensure_assignable(thing_type)
    events: tuple[RegistryEvent, ...] = ()
    if after is not existing:
        yield from thing_table.update_thing(after)
        events = update_of_thing(existing, after)
    moved = yield from _move(existing, planned)
    return after, (*events, *moved)


def certificate_step(certificate: Certificate, planned: CertificatePlan, at: datetime) -> Steps[Certificate]:
    """Set the planned status of a certificate that is locked for update; return the changed certificate."""
    after = provisioned_certificate(certificate, planned, at)
    if after is not certificate:
        yield from certificate_table.update_certificate(certificate, after)
        yield from record_standing(certificate, after, at)
    return after


def _require_document(scope: Scope, planned: PolicyPlan) -> Steps[None]:
    for summary in (yield from policy_table.policy_versions(scope, planned.name)):
        found = yield from policy_table.policy_with_version(scope, planned.name, summary.version)
        # A later version that an operator created is for the whole fleet, including devices that register later.
        if found is not None and found[1] is not None and found[1].document == planned.document:
            return
    raise UpdateConflict(f"The policy {planned.name} exists with another document")


def _kept_type(scope: Scope, planned: ThingPlan) -> Steps[ThingType | None]:
    if planned.type_name is None:
        return None
    thing_type = yield from thing_type_table.thing_type_for_share(scope, planned.type_name)
    if thing_type is None:
        raise RegistrationFailed(f"The thing type {planned.type_name} does not exist")
    return thing_type


def _keep_billing_group(scope: Scope, planned: ThingPlan) -> Steps[None]:
    name = planned.billing_group
    if name is not None and (yield from billing_group_table.billing_group_for_share(scope, name)) is None:
        raise RegistrationFailed(f"The billing group {name} does not exist")


def _is_attached(thing: Thing, certificate_id: CertificateId | None) -> Steps[bool]:
    if certificate_id is None:
        return False
    principal = certificate_arn(thing.scope, certificate_id)
    return (yield from thing_principal_table.attachment(thing.scope, thing.name, principal)) is not None


def _move(thing: Thing, planned: ThingPlan) -> Steps[list[GroupMembershipEvent]]:
    memberships = yield from thing_group_member_table.groups_of_thing(thing.scope, thing.name, ALL_GROUPS_OF_A_THING)
    to_leave, to_join = groups_to_change(thing, [each.item[-1] for each in memberships], planned)
    left = yield from each_group(leave_group, thing, to_leave)
    return left + (yield from _join(thing, to_join))


def _join(thing: Thing, names: Sequence[ThingGroupName]) -> Steps[list[GroupMembershipEvent]]:
    # In a fixed order, so that two registrations cannot deadlock.
    return (yield from each_group(join_group, thing, sorted(names)))
