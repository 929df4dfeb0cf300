"""Owns the attachments of policies to targets. Independent of HTTP and SQL.

An attachment locks the policy first (a shared lock against deletion), then its target, then the record of the change.
Every program that needs several of these locks takes them in this order.
"""

from __future__ import annotations

from collections.abc import Sequence

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import PolicyName, Scope
from thingmint.core.paging import Page, PageRequest
from thingmint.core.policies.stored_policy import PolicySummary, ensure_room_for_policy, policy_not_found
from thingmint.core.policies.target import (
    CertificateTarget,
    PolicyTarget,
    ThingGroupTarget,
    target_not_found,
)
from thingmint.records import changes as change_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.columns import position_after
from thingmint.records.paging import read_page
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies import policy_attachments as policy_attachment_table
from thingmint.records.policies.policy_attachments import AttachedTarget, PolicySearchStart
from thingmint.records.registry import thing_groups as thing_group_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change


async def attach(
    authority: RegistrationAuthority, caller: Caller, action: str, name: PolicyName, target: PolicyTarget
) -> None:
    """Attach the policy to the target; do nothing if it is attached.

    Raises ResourceNotFound if either does not exist, LimitExceeded if the target has the maximum number of policies,
    InvalidRequest for a certificate with a pending transfer.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        if not (yield from attached(caller, name, target)):
            return Change(None, ())
        entry = audit_entry(caller, now, action, target.name, policy=name)
        return Change(None, (entry,), (target.name,))

    await change(authority, program)


def attached(caller: Caller, name: PolicyName, target: PolicyTarget) -> Steps[bool]:
    """Attach the policy as a step of a program; return whether it was not attached before. Raise as `attach`."""
    certificate = yield from _lock(caller, name, target)
    if certificate is not None and certificate.status is CertificateStatus.PENDING_TRANSFER:
        # In its new account it would have a policy that does not exist there.
        raise InvalidRequest(f"A policy cannot be attached to a certificate in transfer: {target.name}")
    if not (yield from policy_attachment_table.attach_policy(caller.scope, name, target.name)):
        return False
    policies = yield from policy_attachment_table.count_policies(caller.scope, target.name)
    # The count includes the new attachment. An error here rolls it back.
    ensure_room_for_policy(target.name, policies - 1)
    return True


async def detach(
    authority: RegistrationAuthority, caller: Caller, action: str, name: PolicyName, target: PolicyTarget
) -> None:
    """Detach the policy from the target; do nothing if it is not attached.

    Raises ResourceNotFound if either does not exist.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        yield from _lock(caller, name, target)
        if not (yield from policy_attachment_table.detach_policy(caller.scope, name, target.name)):
            return Change(None, ())
        entry = audit_entry(caller, now, action, target.name, policy=name)
        return Change(None, (entry,), (target.name,))

    await change(authority, program)


async def list_attached(
    authority: RegistrationAuthority, caller: Caller, target: PolicyTarget, request: PageRequest, *, inherited: bool
) -> Page[PolicySummary]:
    """Return a page of the policies attached to the target and, with ``inherited``, to its things and groups.

    They are in the order of their first attachment, latest first unless ascending. Raises ResourceNotFound,
    LimitExceeded if the target has too many things and groups.
    """

    def program() -> Steps[Page[PolicySummary]]:
        yield from require_target(target)
        if inherited:
            return (yield from read_page(request, lambda page: _inherited(caller.scope, target, page)))
        return (
            yield from read_page(
                request, lambda page: policy_attachment_table.attached_policies(caller.scope, target.name, page)
            )
        )

    return await authority.store.read(program)


async def list_targets(
    authority: RegistrationAuthority, caller: Caller, name: PolicyName, request: PageRequest
) -> Page[AttachedTarget]:
    """Return a page of the policy's targets in the order of attachment, latest first unless ascending.

    Raises ResourceNotFound.
    """

    def program() -> Steps[Page[AttachedTarget]]:
        yield from _require_policy(caller, name)
        return (
            yield from read_page(request, lambda page: policy_attachment_table.policy_targets(caller.scope, name, page))
        )

    return await authority.store.read(program)


def beginning_of(target: PolicyTarget) -> PolicySearchStart:
    """Return the start of the search for policies in force for the target."""
    if isinstance(target, ThingGroupTarget):
        return PolicySearchStart(group_name=target.group_name)
    return PolicySearchStart(principal=target.name)


def require_target(target: PolicyTarget) -> Steps[None]:
    """Raise ResourceNotFound if the target does not exist. A Cognito identity is never checked."""
    exists = True
    if isinstance(target, CertificateTarget):
        exists = (yield from certificate_table.certificate(target.scope, target.certificate_id)) is not None
    elif isinstance(target, ThingGroupTarget):
        exists = (yield from thing_group_table.thing_group(target.scope, target.group_name)) is not None
    if not exists:
        raise target_not_found(target.name)


def _lock(caller: Caller, name: PolicyName, target: PolicyTarget) -> Steps[Certificate | None]:
    if not (yield from policy_table.policy_kept(caller.scope, name)):
        raise policy_not_found(name)
    certificate, exists = None, True
    if isinstance(target, CertificateTarget):
        certificate = yield from certificate_table.certificate_for_update(target.scope, target.certificate_id)
        exists = certificate is not None
    elif isinstance(target, ThingGroupTarget):
        exists = (yield from thing_group_table.thing_group_for_update(target.scope, target.group_name)) is not None
    else:
        # The registry has no row of an identity. This lock makes concurrent counts of its policies wait for each other.
        yield from change_table.lock_principal(target.name)
    if not exists:
        raise target_not_found(target.name)
    return certificate


def _inherited(scope: Scope, target: PolicyTarget, page: PageRequest) -> Steps[Sequence[PolicySummary]]:
    found = yield from policy_attachment_table.effective_policies(scope, beginning_of(target))
    listed = [PolicySummary(scope, each.name, each.position) for each in found.policies]
    if not page.ascending:
        listed.reverse()
    after = position_after(page.after, ascending=page.ascending)
    ahead = [each for each in listed if (each.position > after if page.ascending else each.position < after)]
    return ahead[: page.size]


def _require_policy(caller: Caller, name: PolicyName) -> Steps[None]:
    if (yield from policy_table.policy_with_version(caller.scope, name, None)) is None:
        raise policy_not_found(name)
