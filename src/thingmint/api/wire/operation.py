"""Owns what an operation is: its name and route, what it needs of the caller's policies, and how it is called.

Refuses to know who calls it (HTTP now, other edges later) and what its function does.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias, TypeVar

from msgspec import Struct

from thingmint.api.wire.binding import RawRequest, compile_binder
from thingmint.api.wire.codec import encode_object
from thingmint.api.wire.permissions import FurtherOf
from thingmint.api.wire.planes import DATA_ROUTES, Plane
from thingmint.api.wire.routes import ROUTES
from thingmint.core.caller import Caller
from thingmint.core.errors import not_implemented
from thingmint.core.identifiers import Scope

RequestT = TypeVar("RequestT", bound=Struct)

ResourceOf: TypeAlias = Callable[[Scope, RawRequest], str]
"""Names the resource that a policy must allow; works on the unchecked request, because policies are asked first."""

ResourcesOf: TypeAlias = Callable[[Scope, RawRequest], Sequence[str]]
"""Names further resources, each of which policies must allow."""

ContextOf: TypeAlias = Callable[[Scope, RawRequest], Mapping[str, tuple[str, ...]]]
"""Tells the condition keys that only this operation has; works on the unchecked request, too."""

Invoke: TypeAlias = Callable[[Caller, RawRequest], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of AWS IoT's API, compiled; without ``resource`` there is nothing for a policy to allow.

    Policies must allow the operation on the other resources, too, each by itself, and what ``further`` names.
    """

    name: str
    method: str
    path: str
    resource: ResourceOf | None
    invoke: Invoke = field(repr=False)
    request: type[Struct] | None = None
    response: type[Struct] | None = None
    other_resources: ResourcesOf | None = None
    context: ContextOf | None = None
    further: FurtherOf | None = None
    plane: Plane = Plane.CONTROL

    @property
    def action(self) -> str:
        """The action that policies name."""
        return f"iot:{self.name}"

    @property
    def creates_with_tags(self) -> bool:
        """Whether what the operation creates may have tags, which takes the permission to tag."""
        return self.name != "TagResource" and "tags" in _members_of(self.request)

    @property
    def speaks_of_tags(self) -> bool:
        """Whether the request may set tags or take them away."""
        return not _members_of(self.request).isdisjoint(("tags", "tagKeys"))


@cache
def _members_of(request: type[Struct] | None) -> frozenset[str]:
    return frozenset() if request is None else frozenset(request.__struct_encode_fields__)


def any_resource(scope: Scope, request: RawRequest) -> str:
    """Name every resource, as AWS does for operations that create and list."""
    del scope, request
    return "*"


def implemented(
    name: str,
    function: Callable[[Caller, RequestT], Awaitable[Struct | None]],
    request: type[RequestT],
    response: type[Struct] | None = None,
    resource: ResourceOf = any_resource,
    *,
    other_resources: ResourcesOf | None = None,
    context: ContextOf | None = None,
    further: FurtherOf | None = None,
) -> Operation:
    """Return the operation of AWS's model with this name, its request's binder compiled."""
    bind = compile_binder(request)

    async def invoke(caller: Caller, raw: RawRequest) -> bytes:
        return encode_object(await function(caller, bind(raw)))

    plane = Plane.DATA if name in DATA_ROUTES else Plane.CONTROL
    method, path = (DATA_ROUTES if plane is Plane.DATA else ROUTES)[name].split(" ")
    return Operation(name, method, path, resource, invoke, request, response, other_resources, context, further, plane)


def unimplemented(name: str, route: str) -> Operation:
    """Return an operation that exists at AWS and says that it does not here."""

    async def invoke(caller: Caller, raw: RawRequest) -> bytes:
        del caller, raw
        raise not_implemented(name)

    method, path = route.split(" ")
    plane = Plane.DATA if name in DATA_ROUTES else Plane.CONTROL
    return Operation(name, method, path, None, invoke, plane=plane)
