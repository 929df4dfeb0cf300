"""Owns how operations name the resource that a policy must allow: every one, that of the path, that of the body.

Policies are asked before the request is checked: what is named here may be unchecked text.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from thingmint.api.wire.binding import RawRequest
from thingmint.core.identifiers import Scope, iot_arn

ResourceOf: TypeAlias = Callable[[Scope, RawRequest], str]
"""Names the resource that a policy must allow; works on the unchecked request, because policies are asked first."""

ResourcesOf: TypeAlias = Callable[[Scope, RawRequest], Sequence[str]]
"""Names further resources, each of which policies must allow."""


def any_resource(scope: Scope, request: RawRequest) -> str:
    """Name every resource, as AWS does for operations that create and list."""
    del scope, request
    return "*"


def in_path(kind: str, label: str) -> ResourceOf:
    """Return what names the resource of this kind that the path's label names."""

    def resource(scope: Scope, request: RawRequest) -> str:
        return iot_arn(scope, f"{kind}/{request.labels[label]}")

    return resource


def id_in_path(kind: str, label: str) -> ResourceOf:
    """Return what names the resource whose hexadecimal id is in the path.

    The id is written in lower case, as it is looked up: no other spelling of it escapes a Deny.
    """

    def resource(scope: Scope, request: RawRequest) -> str:
        return iot_arn(scope, f"{kind}/{request.labels[label].lower()}")

    return resource


def in_body(kind: str, name_member: str, arn_member: str | None = None) -> ResourceOf:
    """Return what names the resource that a member of the body names, by its name or its ARN.

    What names nothing that can exist is refused once it is bound; until then policies must allow every resource.
    """

    def resource(scope: Scope, request: RawRequest) -> str:
        body = request.unchecked_members
        name, arn = body.get(name_member), None if arn_member is None else body.get(arn_member)
        # One of them is enough: where both are given and disagree, the request is refused.
        if isinstance(name, str) and name:
            return iot_arn(scope, f"{kind}/{name}")
        return arn if isinstance(arn, str) and arn else "*"

    return resource


def as_well(resource: ResourceOf) -> ResourcesOf:
    """Return what names this resource besides another one."""

    def resources(scope: Scope, request: RawRequest) -> Sequence[str]:
        return (resource(scope, request),)

    return resources
