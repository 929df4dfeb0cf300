"""Owns the table of operations on things, thing types, groups, tags, event configurations and role aliases."""

from collections.abc import Sequence

from thingmint.api.registry import (
    billing_groups,
    billing_members,
    event_configurations,
    role_aliases,
    tags,
    thing_group_members,
    thing_groups,
    thing_principals,
    thing_types,
    things,
)
from thingmint.api.registry.tags import resource_in_body, resource_in_query
from thingmint.api.registry.thing_principals import principal_in_header, thing_arn_context
from thingmint.api.wire.operation import Implemented, operation
from thingmint.api.wire.permissions import CREDENTIALS_SERVICE, passes_role
from thingmint.api.wire.reading.binding import RawRequest
from thingmint.api.wire.resources import as_well, in_body, in_path
from thingmint.core.identifiers import Scope, iot_arn
from thingmint.registration.kernel.authority import RegistrationAuthority

_THING = in_path("thing", "thingName")
_THING_IN_BODY = in_body("thing", "thingName", "thingArn")
_THING_AS_WELL = as_well(_THING_IN_BODY)
_THING_TYPE = in_path("thingtype", "thingTypeName")
_THING_GROUP = in_path("thinggroup", "thingGroupName")
_THING_GROUP_IN_BODY = in_body("thinggroup", "thingGroupName", "thingGroupArn")
_BILLING_GROUP = in_path("billinggroup", "billingGroupName")
_BILLING_GROUP_IN_BODY = in_body("billinggroup", "billingGroupName", "billingGroupArn")
_ROLE_ALIAS = in_path("rolealias", "roleAlias")
_PASSES_ROLE = passes_role("roleArn", to=CREDENTIALS_SERVICE)


def _billing_group_if_given(scope: Scope, request: RawRequest) -> Sequence[str]:
    """Return the billing group that the new thing is put into, if the request has one."""
    if request.unchecked_members.get("billingGroupName") is None:
        return ()
    return (_BILLING_GROUP_IN_BODY(scope, request),)


def _groups_as_well(scope: Scope, request: RawRequest) -> Sequence[str]:
    """Return the groups that the thing enters and leaves."""
    lists = [request.unchecked_members.get(member) for member in ("thingGroupsToAdd", "thingGroupsToRemove")]
    names = [name for names in lists if isinstance(names, list) for name in names]
    return tuple([iot_arn(scope, f"thinggroup/{name}") for name in names if isinstance(name, str)])


OPERATIONS: tuple[Implemented[RegistrationAuthority], ...] = (
    operation(things.create_thing, _THING, other_resources=_billing_group_if_given),
    operation(things.describe_thing, _THING),
    operation(things.update_thing, _THING),
    operation(things.delete_thing, _THING),
    operation(things.list_things),
    operation(thing_types.create_thing_type, _THING_TYPE),
    operation(thing_types.describe_thing_type, _THING_TYPE),
    operation(thing_types.update_thing_type, _THING_TYPE),
    operation(thing_types.deprecate_thing_type, _THING_TYPE),
    operation(thing_types.delete_thing_type, _THING_TYPE),
    operation(thing_types.list_thing_types),
    operation(thing_groups.create_thing_group, _THING_GROUP),
    operation(thing_groups.describe_thing_group, _THING_GROUP),
    operation(thing_groups.update_thing_group, _THING_GROUP),
    operation(thing_groups.delete_thing_group, _THING_GROUP),
    operation(thing_groups.list_thing_groups),
    operation(thing_group_members.add_thing_to_thing_group, _THING_GROUP_IN_BODY, other_resources=_THING_AS_WELL),
    operation(thing_group_members.remove_thing_from_thing_group, _THING_GROUP_IN_BODY, other_resources=_THING_AS_WELL),
    operation(thing_group_members.update_thing_groups_for_thing, _THING_IN_BODY, other_resources=_groups_as_well),
    operation(thing_group_members.list_thing_groups_for_thing, _THING),
    operation(thing_group_members.list_things_in_thing_group, _THING_GROUP),
    operation(billing_groups.create_billing_group, _BILLING_GROUP),
    operation(billing_groups.describe_billing_group, _BILLING_GROUP),
    operation(billing_groups.update_billing_group, _BILLING_GROUP),
    operation(billing_groups.delete_billing_group, _BILLING_GROUP),
    operation(billing_groups.list_billing_groups),
    operation(billing_members.add_thing_to_billing_group, _BILLING_GROUP_IN_BODY, other_resources=_THING_AS_WELL),
    operation(billing_members.remove_thing_from_billing_group, _BILLING_GROUP_IN_BODY, other_resources=_THING_AS_WELL),
    operation(billing_members.list_things_in_billing_group, _BILLING_GROUP),
    operation(thing_principals.attach_thing_principal, principal_in_header, context=thing_arn_context),
    operation(thing_principals.detach_thing_principal, principal_in_header, context=thing_arn_context),
    operation(thing_principals.list_thing_principals, _THING),
    operation(thing_principals.list_thing_principals_v2, _THING),
    operation(thing_principals.list_principal_things, principal_in_header),
    operation(thing_principals.list_principal_things_v2, principal_in_header),
    operation(tags.tag_resource, resource_in_body),
    operation(tags.untag_resource, resource_in_body),
    operation(tags.list_tags_for_resource, resource_in_query),
    operation(event_configurations.describe_event_configurations),
    operation(event_configurations.update_event_configurations),
    operation(role_aliases.create_role_alias, _ROLE_ALIAS, further=_PASSES_ROLE),
    operation(role_aliases.describe_role_alias, _ROLE_ALIAS),
    operation(role_aliases.update_role_alias, _ROLE_ALIAS, further=_PASSES_ROLE),
    operation(role_aliases.delete_role_alias, _ROLE_ALIAS),
    operation(role_aliases.list_role_aliases),
)
