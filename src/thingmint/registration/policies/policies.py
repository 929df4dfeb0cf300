"""Owns the operations on policies and their versions, without attachments. Independent of HTTP and SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from thingmint.core.audit_entry import NEVER_PRESENT, AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import ResourceExists
from thingmint.core.identifiers import PolicyName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.policies.condition_keys import DEVICE_ACTIONS, DEVICE_KEYS, never_present
from thingmint.core.policies.language import Policy
from thingmint.core.policies.stored_policy import (
    FIRST_VERSION,
    DevicePolicy,
    PolicySummary,
    PolicyVersion,
    PolicyVersionSummary,
    ensure_policy_deletable,
    ensure_version_deletable,
    parse_document,
    policy_not_found,
    version_not_found,
    with_default_version,
    with_next_version,
)
from thingmint.records.paging import read_page
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies import policy_attachments as policy_attachment_table
from thingmint.records.registry import tags as tag_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.tags import store_tags


async def create(
    authority: RegistrationAuthority, caller: Caller, name: PolicyName, document: str, tags: Mapping[str, str]
) -> DevicePolicy:
    """Create a policy whose version 1 is the document.

    Raises MalformedPolicy with position and reason, ResourceExists if the name exists.
    """
    parsed = parse_document(document)
    now = authority.clock.now()
    policy = DevicePolicy(caller.scope, name, FIRST_VERSION, FIRST_VERSION, authority.new_generation_id(), now, now)
    detail = {"document_sha256": _digest(document), **_warning(parsed)}
    entry = audit_entry(caller, now, "CreatePolicy", policy.arn, **detail)

    def program() -> Steps[Change[DevicePolicy]]:
        if not (yield from policy_table.insert_policy(policy)):
            raise ResourceExists(
                f"Policy cannot be created - name already exists (name={name})",
                resource_id=name,
                resource_arn=policy.arn,
            )
        yield from policy_table.insert_policy_version(policy, PolicyVersion(FIRST_VERSION, document, now, now))
        yield from store_tags(policy.arn, tags)
        return Change(policy, (entry,))

    return await change(authority, program)


async def describe(
    authority: RegistrationAuthority, caller: Caller, name: PolicyName, version: int | None = None
) -> tuple[DevicePolicy, PolicyVersion]:
    """Return the policy and this version of it, or its default version; raise ResourceNotFound if either is missing."""
    found = await authority.store.read(lambda: policy_table.policy_with_version(caller.scope, name, version))
    if found is None:
        raise policy_not_found(name)
    policy, stored = found
    if stored is None:
        raise version_not_found(name, version or policy.default_version)
    return policy, stored


async def list_policies(authority: RegistrationAuthority, caller: Caller, request: PageRequest) -> Page[PolicySummary]:
    """Return a page of the account's policies in the order of their creation, newest first unless ascending."""

    def program() -> Steps[Page[PolicySummary]]:
        return read_page(request, lambda page: policy_table.policy_summaries(caller.scope, page))

    return await authority.store.read(program)


async def list_versions(
    authority: RegistrationAuthority, caller: Caller, name: PolicyName
) -> Sequence[PolicyVersionSummary]:
    """Return the policy's versions, newest first; raise ResourceNotFound if there is no such policy."""
    versions = await authority.store.read(lambda: policy_table.policy_versions(caller.scope, name))
    if not versions:
        raise policy_not_found(name)
    return versions


async def create_version(
    authority: RegistrationAuthority, caller: Caller, name: PolicyName, document: str, *, as_default: bool
) -> tuple[DevicePolicy, PolicyVersion]:
    """Add a version to the policy; with ``as_default`` it is in force at once.

    Raises MalformedPolicy, ResourceNotFound, VersionsLimitExceeded if the policy has the maximum number of versions.
    """
    parsed = parse_document(document)
    now = authority.clock.now()

    def program() -> Steps[Change[tuple[DevicePolicy, PolicyVersion]]]:
        before = yield from _for_update(caller, name)
        versions = yield from policy_table.policy_versions(caller.scope, name)
        after = with_next_version(before, len(versions), now, as_default=as_default)
        version = PolicyVersion(after.last_version, document, now, now)
        yield from policy_table.insert_policy_version(after, version)
        yield from _replace(before, after)
        detail = {
            "version": str(version.version),
            "is_default": _text(as_default),
            "document_sha256": _digest(document),
            **_warning(parsed),
        }
        entry = audit_entry(caller, now, "CreatePolicyVersion", after.arn, **detail)
        return Change((after, version), (entry,), (after.arn,) if as_default else ())

    return await change(authority, program)


async def set_default_version(authority: RegistrationAuthority, caller: Caller, name: PolicyName, version: int) -> None:
    """Make the version the default; do nothing if it is. Raises ResourceNotFound if policy or version is missing."""
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        before = yield from _for_update(caller, name)
        yield from _require_version(before, version)
        after = with_default_version(before, version, now)
        if after is before:
            return Change(None, ())
        yield from _replace(before, after)
        entry = audit_entry(
            caller,
            now,
            "SetDefaultPolicyVersion",
            after.arn,
            version=str(version),
            previous_version=str(before.default_version),
        )
        return Change(None, (entry,), (after.arn,))

    await change(authority, program)


async def delete_version(authority: RegistrationAuthority, caller: Caller, name: PolicyName, version: int) -> None:
    """Delete a version that is not in force; raise ResourceNotFound, or DeletionRefused for the default version."""
    now = authority.clock.now()

    def remove(policy: DevicePolicy) -> Steps[AuditEntry]:
        yield from _require_version(policy, version)
        ensure_version_deletable(policy, version)
        yield from policy_table.delete_policy_version(policy, version)
        return audit_entry(caller, now, "DeletePolicyVersion", policy.arn, version=str(version))

    await _remove(authority, caller, name, remove)


async def delete(authority: RegistrationAuthority, caller: Caller, name: PolicyName) -> None:
    """Delete the policy with its only version; raise ResourceNotFound, or DeletionRefused if it is in use."""
    now = authority.clock.now()

    def remove(policy: DevicePolicy) -> Steps[AuditEntry]:
        is_attached = yield from policy_attachment_table.is_policy_attached(caller.scope, name)
        versions = yield from policy_table.policy_versions(caller.scope, name)
        ensure_policy_deletable(policy, len(versions), is_attached=is_attached)
        yield from policy_table.delete_policy(policy)
        yield from tag_table.delete_tags(policy.arn)
        return audit_entry(caller, now, "DeletePolicy", policy.arn, generation_id=policy.generation_id)

    await _remove(authority, caller, name, remove)


async def _remove(
    authority: RegistrationAuthority,
    caller: Caller,
    name: PolicyName,
    remove: Callable[[DevicePolicy], Steps[AuditEntry]],
) -> None:
    def program() -> Steps[Change[None]]:
        policy = yield from _for_update(caller, name)
        entry = yield from remove(policy)
        return Change(None, (entry,))

    await change(authority, program)


def _for_update(caller: Caller, name: PolicyName) -> Steps[DevicePolicy]:
    policy = yield from policy_table.policy_for_update(caller.scope, name)
    if policy is None:
        raise policy_not_found(name)
    return policy


def _require_version(policy: DevicePolicy, version: int) -> Steps[None]:
    versions = yield from policy_table.policy_versions(policy.scope, policy.name)
    if version not in {summary.version for summary in versions}:
        raise version_not_found(policy.name, version)


def _replace(before: DevicePolicy, after: DevicePolicy) -> Steps[None]:
    yield from policy_table.update_policy(after)
    if after.default_version != before.default_version:
        for version in (before.default_version, after.default_version):
            yield from policy_table.touch_policy_version(after, version, after.modified_at)


def _warning(policy: Policy) -> dict[str, str]:
    """Return the condition keys and variables that no device's request has, for the audit entry and the log."""
    missing = never_present(policy, DEVICE_KEYS, DEVICE_ACTIONS)
    return {NEVER_PRESENT: ", ".join(missing)} if missing else {}


def _text(flag: bool) -> str:
    return "true" if flag else "false"


def _digest(document: str) -> str:
    """Return the digest of a document for the verifiable log."""
    return hashlib.sha256(document.encode("utf-8", "surrogatepass")).hexdigest()
