"""Owns the functions that return the resource that a policy must allow: every resource, one in the path or body.

Policies are evaluated before the request is checked, so a resource may contain unchecked text.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from thingmint.api.wire.reading.binding import RawRequest
from thingmint.core.identifiers import Scope, iot_arn

ResourceOf: TypeAlias = Callable[[Scope, RawRequest], str]
"""Returns the resource that a policy must allow, from the unchecked request, because policies are evaluated first."""

ResourcesOf: TypeAlias = Callable[[Scope, RawRequest], Sequence[str]]
"""Returns further resources, each of which policies must allow."""


def any_resource(scope: Scope, request: RawRequest) -> str:
    """Return every resource (``*``), as AWS does for operations that create and list."""
    del scope, request
    return "*"


def in_path(kind: str, label: str) -> ResourceOf:
    """Return the function that returns the resource of this kind in the path's label."""

    def resource(scope: Scope, request: RawRequest) -> str:
        return iot_arn(scope, f"{kind}/{request.labels[label]}")

    return resource


def id_in_path(kind: str, label: str) -> ResourceOf:
    """Return the function that returns the resource whose hexadecimal id is in the path.

    The id is changed to lower case, as in lookups, so that a Deny cannot be evaded by another spelling.
    """

    def resource(scope: Scope, request: RawRequest) -> str:
        return iot_arn(scope, f"{kind}/{request.labels[label].lower()}")

    return resource


def in_body(kind: str, name_member: str, arn_member: str | None = None) -> ResourceOf:
    """Return the function that returns the resource in a member of the body, by its name or its ARN.

    An invalid name is refused later, when the request is bound. For it, policies must allow every resource.
    """

    def resource(scope: Scope, request: RawRequest) -> str:
        body = request.unchecked_members
        name, arn = body.get(name_member), None if arn_member is None else body.get(arn_member)
        # One of them is enough, because a request with a different name and ARN is refused later.
        if isinstance(name, str) and name:
            return iot_arn(scope, f"{kind}/{name}")
        return arn if isinstance(arn, str) and arn else "*"

    return resource


def as_well(resource: ResourceOf) -> ResourcesOf:
    """Return the function that returns this resource as a further one."""

    def resources(scope: Scope, request: RawRequest) -> Sequence[str]:
        return (resource(scope, request),)

    return resources
