"""Owns the tags of resources: tags of new resources, and later changes. Independent of HTTP and SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import iot_arn
from thingmint.core.registry.tag import (
    Taggable,
    ensure_number_of_new_tags,
    ensure_removable,
    ensure_room,
    taggable,
)
from thingmint.records.registry import tags as tag_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.ports import Store


def store_tags(resource_arn: str, tags: Mapping[str, str]) -> Steps[None]:
    """Store the tags of a new resource in the transaction that creates it; raise InvalidRequest for invalid tags.

    A program that deletes the resource deletes them with `records.registry.tags.delete_tags`.
    """
    ensure_number_of_new_tags(tags)
    yield from tag_table.put_tags(resource_arn, tags)


async def tag(authority: RegistrationAuthority, caller: Caller, resource_arn: str, tags: Mapping[str, str]) -> None:
    """Add these tags to the resource.

    Raises InvalidRequest if its kind has no tags, ResourceNotFound, LimitExceeded.
    """
    resource, now = _taggable(caller, resource_arn), authority.clock.now()

    def program() -> Steps[Change[None]]:
        yield from _hold(resource)
        ensure_room((yield from tag_table.tags(resource.arn)), tags)
        yield from tag_table.put_tags(resource.arn, tags)
        # Values can be personal data. An audit needs only the keys.
        return Change(None, (audit_entry(caller, now, "TagResource", resource.arn, keys=",".join(tags)),))

    await change(authority, program)


async def untag(authority: RegistrationAuthority, caller: Caller, resource_arn: str, keys: Sequence[str]) -> None:
    """Remove the tags with these keys from the resource. Other keys are ignored.

    Raises InvalidRequest if its kind has no tags or a key is reserved, ResourceNotFound.
    """
    ensure_removable(keys)
    resource, now = _taggable(caller, resource_arn), authority.clock.now()

    def program() -> Steps[Change[None]]:
        yield from _hold(resource)
        yield from tag_table.remove_tags(resource.arn, keys)
        return Change(None, (audit_entry(caller, now, "UntagResource", resource.arn, keys=",".join(keys)),))

    await change(authority, program)


async def list_tags(authority: RegistrationAuthority, caller: Caller, resource_arn: str) -> Mapping[str, str]:
    """Return the tags of the resource in the order of their keys; raise InvalidRequest or ResourceNotFound."""
    resource = _taggable(caller, resource_arn)

    def program() -> Steps[Mapping[str, str]]:
        if not (yield from tag_table.has_taggable(resource)):
            raise _not_found(resource_arn)
        return (yield from tag_table.tags(resource.arn))

    return await authority.store.read(program)


async def stored_tags(store: Store, resource_arn: str) -> Mapping[str, str]:
    """Return the stored tags of an ARN, which may be none; raise ServiceUnavailable."""
    return await store.read(lambda: tag_table.tags(resource_arn))


def _taggable(caller: Caller, arn: str) -> Taggable:
    if not arn.startswith(iot_arn(caller.scope, "")):
        raise _not_found(arn)
    resource = taggable(caller.scope, arn)
    if resource is None:
        raise InvalidRequest(f"The resource has no tags: {arn}")
    return resource


def _hold(resource: Taggable) -> Steps[None]:
    if not (yield from tag_table.hold_taggable(resource)):
        raise _not_found(resource.arn)


def _not_found(arn: str) -> ResourceNotFound:
    return ResourceNotFound(f"The resource given in the request does not exist. Resource: {arn}")
