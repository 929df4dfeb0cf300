"""Owns the operations on role aliases. Does not issue credentials."""

from __future__ import annotations

from collections.abc import Mapping

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import ResourceNotFound
from thingmint.core.identifiers import RoleAliasName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.registry.role_alias import (
    DEFAULT_CREDENTIAL_SECONDS,
    MAX_ROLE_ALIASES,
    RoleAlias,
    RoleAliasEntry,
    updated_role_alias,
)
from thingmint.records.paging import read_page
from thingmint.records.registry import role_aliases as role_alias_table
from thingmint.records.registry import tags as tag_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.tags import store_tags


async def create(
    authority: RegistrationAuthority,
    caller: Caller,
    name: RoleAliasName,
    role_arn: str,
    credential_seconds: int | None,
    tags: Mapping[str, str],
) -> RoleAlias:
    """Create a role alias and return it; raise InvalidRequest for a bad role ARN, ResourceExists, LimitExceeded."""
    now, seconds = authority.clock.now(), credential_seconds or DEFAULT_CREDENTIAL_SECONDS
    role_alias = RoleAlias(caller.scope, name, role_arn, seconds, now, now)

    def program() -> Steps[Change[RoleAlias]]:
        yield from role_alias_table.insert_role_alias(role_alias, MAX_ROLE_ALIASES)
        yield from store_tags(role_alias.arn, tags)
        return Change(role_alias, (_entry(authority, caller, "CreateRoleAlias", role_alias),))

    return await change(authority, program)


async def describe(authority: RegistrationAuthority, caller: Caller, name: RoleAliasName) -> RoleAlias:
    """Return the role alias; raise ResourceNotFound if the caller's account has no such one in the region."""
    return _found(name, await authority.store.read(lambda: role_alias_table.role_alias(caller.scope, name)))


async def list_role_aliases(
    authority: RegistrationAuthority, caller: Caller, request: PageRequest
) -> Page[RoleAliasEntry]:
    """Return a page of the account's role aliases in the order of their creation, newest first unless ascending."""

    def program() -> Steps[Page[RoleAliasEntry]]:
        return read_page(request, lambda page: role_alias_table.role_aliases(caller.scope, page))

    return await authority.store.read(program)


async def update(
    authority: RegistrationAuthority,
    caller: Caller,
    name: RoleAliasName,
    role_arn: str | None,
    credential_seconds: int | None,
) -> RoleAlias:
    """Change the given values and return the alias; raise ResourceNotFound, InvalidRequest for a bad role ARN."""
    now = authority.clock.now()

    def program() -> Steps[Change[RoleAlias]]:
        before = _found(name, (yield from role_alias_table.role_alias_for_update(caller.scope, name)))
        after = updated_role_alias(before, role_arn, credential_seconds, now)
        if after is before:
            return Change(before, ())
        yield from role_alias_table.update_role_alias(after)
        return Change(after, (_entry(authority, caller, "UpdateRoleAlias", after),))

    return await change(authority, program)


async def delete(authority: RegistrationAuthority, caller: Caller, name: RoleAliasName) -> None:
    """Delete the role alias; raise ResourceNotFound."""

    def program() -> Steps[Change[None]]:
        role_alias = _found(name, (yield from role_alias_table.role_alias_for_update(caller.scope, name)))
        yield from role_alias_table.delete_role_alias(role_alias)
        yield from tag_table.delete_tags(role_alias.arn)
        return Change(None, (_entry(authority, caller, "DeleteRoleAlias", role_alias),))

    await change(authority, program)


def _entry(authority: RegistrationAuthority, caller: Caller, action: str, role_alias: RoleAlias) -> AuditEntry:
    return audit_entry(
        caller,
        authority.clock.now(),
        action,
        role_alias.arn,
        role_arn=role_alias.role_arn,
        credential_seconds=str(role_alias.credential_seconds),
    )


def _found(name: RoleAliasName, role_alias: RoleAlias | None) -> RoleAlias:
    if role_alias is None:
        raise ResourceNotFound(f"Role alias {name} not found")
    return role_alias
