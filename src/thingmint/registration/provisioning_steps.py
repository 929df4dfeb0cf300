"""Owns the steps of a provisioning plan: policies, thing and certificate as programs that compose in one transaction.

Locks are taken in the order of `policy_attachments`: policies, certificate; then what a thing belongs to, then the thing.
"""

from collections.abc import Sequence
from datetime import datetime

from thingmint.core.certificate import Certificate
from thingmint.core.device_policy import FIRST_VERSION, DevicePolicy, PolicyVersion
from thingmint.core.errors import InvalidRequest, RegistrationFailed, UpdateConflict
from thingmint.core.identifiers import Scope, ThingGroupName
from thingmint.core.overrides import groups_to_change, new_thing, overridden_thing, provisioned_certificate
from thingmint.core.provisioning_plan import CertificatePlan, PolicyPlan, ThingPlan
from thingmint.core.thing import Thing, ThingPrincipalType
from thingmint.core.thing_group import MAX_GROUPS_OF_A_THING, ThingGroup, ensure_may_join
from thingmint.core.thing_type import ensure_assignable
from thingmint.registration.paging import PageRequest
from thingmint.registration.ports import Transaction
from thingmint.registration.steps import Steps
from thingmint.registration.verbs.thing_principals import Attachment

_ALL_GROUPS = PageRequest(MAX_GROUPS_OF_A_THING, None, ascending=True)
# An exclusive attachment is the only one of its principal, so that two tell whether there is one beside ours.
_TWO_THINGS = PageRequest(2, None, ascending=True)


def policy_step(
    transaction: Transaction, scope: Scope, planned: PolicyPlan, generation_id: str, at: datetime
) -> Steps[bool]:
    """Make sure that the policy is there; say whether it was created.

    Raises RegistrationFailed if a policy that is only named does not exist, UpdateConflict if the name that belongs to
    the document is taken by a policy none of whose versions has it.
    """
    if planned.document is None:
        if not (yield from transaction.policy_kept(scope, planned.name)):
            raise RegistrationFailed(f"The policy {planned.name} does not exist")
        return False
    policy = DevicePolicy(scope, planned.name, FIRST_VERSION, FIRST_VERSION, generation_id, at, at)
    if (yield from transaction.insert_policy(policy)):
        version = PolicyVersion(FIRST_VERSION, planned.document, at, at)
        yield from transaction.insert_policy_version(policy, version)
        return True
    for version_summary in (yield from transaction.policy_versions(scope, planned.name)):
        found = yield from transaction.policy_with_version(scope, planned.name, version_summary.version)
        if found is not None and found[1] is not None and found[1].document == planned.document:
            return False
    raise UpdateConflict(f"The policy {planned.name} exists with another document")


def certificate_step(
    transaction: Transaction, certificate: Certificate, planned: CertificatePlan, at: datetime
) -> Steps[Certificate]:
    """Give a certificate that is held for update the planned status and return it as it is then."""
    after = provisioned_certificate(certificate, planned, at)
    if after is not certificate:
        yield from transaction.update_certificate(certificate, after)
    return after


def thing_step(
    transaction: Transaction, scope: Scope, planned: ThingPlan, thing_id: str, at: datetime
) -> Steps[tuple[Thing, bool]]:
    """Create the thing or make of it what the plan says; return it, held for update, and whether anything changed.

    Raises RegistrationFailed if its type or a group does not exist, InvalidRequest and UpdateConflict.
    """
    thing_type = None
    if planned.type_name is not None:
        thing_type = yield from transaction.thing_type_for_share(scope, planned.type_name)
        if thing_type is None:
            raise RegistrationFailed(f"The thing type {planned.type_name} does not exist")
    if planned.billing_group is not None:
        if (yield from transaction.billing_group_for_share(scope, planned.billing_group)) is None:
            raise RegistrationFailed(f"The billing group {planned.billing_group} does not exist")
    groups = yield from _groups(transaction, scope, planned.groups or ())
    created = new_thing(scope, planned, thing_id, at)
    existing = yield from transaction.insert_thing(created)
    if existing is None:
        if thing_type is not None:
            ensure_assignable(thing_type)
        yield from _join(transaction, created, groups)
        return created, True
    after = overridden_thing(existing, planned)
    if after.type_name != existing.type_name and thing_type is not None:
        ensure_assignable(thing_type)
    if after is not existing:
        yield from transaction.update_thing(after)
    has_moved = yield from _move(transaction, existing, planned, groups)
    return after, after is not existing or has_moved


def attachment_step(
    transaction: Transaction, certificate: Certificate, thing: Thing, kind: ThingPrincipalType
) -> Steps[bool]:
    """Attach the certificate to the thing, both held for update; say whether it was not attached before.

    Raises InvalidRequest if either attachment, this one or the one that stands, is to be the only one.
    """
    if (yield from transaction.attachment(certificate.scope, thing.name, certificate.arn)) is not None:
        return False
    standing = yield from transaction.things_of_principal(certificate.scope, certificate.arn, _TWO_THINGS)
    exclusive = [each for each in standing if each.item.type is ThingPrincipalType.EXCLUSIVE_THING]
    if exclusive or (standing and kind is ThingPrincipalType.EXCLUSIVE_THING):
        raise InvalidRequest(
            f"The certificate {certificate.certificate_id} is attached to the thing {standing[0].item.thing_name}, "
            "and one of the two attachments is exclusive"
        )
    return (yield from transaction.attach_principal(certificate.scope, Attachment(thing.name, certificate.arn, kind)))


def _groups(transaction: Transaction, scope: Scope, names: Sequence[ThingGroupName]) -> Steps[tuple[ThingGroup, ...]]:
    groups = []
    # In one order, so that two registrations never wait for each other.
    for name in sorted(names):
        group = yield from transaction.thing_group_for_share(scope, name)
        if group is None:
            raise RegistrationFailed(f"The thing group {name} does not exist")
        groups.append(group)
    return tuple(groups)


def _move(transaction: Transaction, thing: Thing, planned: ThingPlan, groups: Sequence[ThingGroup]) -> Steps[bool]:
    memberships = yield from transaction.groups_of_thing(thing.scope, thing.name, _ALL_GROUPS)
    paths = {each.item[-1]: each.item for each in memberships}
    left, joined = groups_to_change(thing, tuple(paths), planned)
    for name in left:
        yield from transaction.remove_thing_from_group(thing.scope, thing.name, paths[name])
    yield from _join(transaction, thing, [group for group in groups if group.name in joined])
    return bool(left or joined)


def _join(transaction: Transaction, thing: Thing, groups: Sequence[ThingGroup]) -> Steps[None]:
    for group in groups:
        memberships = yield from transaction.groups_of_thing(thing.scope, thing.name, _ALL_GROUPS)
        ensure_may_join([each.item for each in memberships], group.path)
        yield from transaction.add_thing_to_group(thing.scope, thing.name, group.path)
