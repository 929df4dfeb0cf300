"""Owns the form of an operation: its name and route, the permissions that it needs, and its call.

The name and the messages of an operation follow from its handler's signature: `CreateThingRequest` is the request of
CreateThing. Independent of the edge that calls it, and of its handler.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

from thingmint.api.wire.permissions import TAG_RESOURCE, FurtherOf, tag_context
from thingmint.api.wire.planes import DATA_ROUTES, OWN_ROUTES, Plane
from thingmint.api.wire.reading.binding import RawRequest, compile_binder
from thingmint.api.wire.reading.codec import encode_object
from thingmint.api.wire.resources import ResourceOf, ResourcesOf, any_resource
from thingmint.api.wire.routes import ROUTES
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, not_implemented
from thingmint.core.identifiers import Scope
from thingmint.registration.policies.authorization import Permission

RequestT = TypeVar("RequestT", bound=Struct)
BackendT = TypeVar("BackendT")

ContextOf: TypeAlias = Callable[[Scope, RawRequest], Mapping[str, tuple[str, ...]]]
"""Returns the condition keys that only this operation has, also for an unchecked request."""

# Enough: a thing is in at most ten groups, and a template has at most a few dozen steps.
_MOST_PERMISSIONS = 200

_OTHER_ROUTES: Mapping[Plane, Mapping[str, str]] = {Plane.DATA: DATA_ROUTES, Plane.OWN: OWN_ROUTES}

Invoke: TypeAlias = Callable[[Caller, RawRequest], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API; without ``resource``, it needs no permission.

    Policies must also allow the operation on each of the other resources, and the permissions that ``further`` returns.
    """

    name: str
    method: str
    path: str
    resource: ResourceOf | None = None
    request: type[Struct] | None = None
    response: type[Struct] | None = None
    other_resources: ResourcesOf | None = None
    context: ContextOf | None = None
    further: FurtherOf | None = None
    plane: Plane = Plane.CONTROL
    description: str = field(default="", repr=False)
    """The handler's docstring."""

    @property
    def action(self) -> str:
        """The action's name in policies."""
        return f"{self.plane.action_prefix}:{self.name}"

    @property
    def creates_with_tags(self) -> bool:
        """Whether the created resource may have tags, for which the caller needs the permission to tag."""
        return self.name != "TagResource" and "tags" in _members_of(self.request)

    @property
    def speaks_of_tags(self) -> bool:
        """Whether the request may set or remove tags."""
        return not _members_of(self.request).isdisjoint(("tags", "tagKeys"))

    def resources(self, scope: Scope, raw: RawRequest) -> tuple[str, ...]:
        """Return each resource that policies must allow; none if the operation needs no permission."""
        if self.resource is None:
            return ()
        others = () if self.other_resources is None else self.other_resources(scope, raw)
        return (self.resource(scope, raw), *others)

    def permissions(self, scope: Scope, raw: RawRequest) -> tuple[Permission, ...]:
        """Return all permissions: for the operation on its resources, for setting tags, and further ones.

        Raises InvalidRequest for more permissions than any valid request needs, because each one is evaluated.
        """
        resources = self.resources(scope, raw)
        own = {} if self.context is None else self.context(scope, raw)
        tags = tag_context(raw) if self.speaks_of_tags else {}
        context = {**own, **tags}
        needed = [Permission(self.action, resource, context) for resource in resources]
        if self.creates_with_tags and tags:
            needed.append(Permission(TAG_RESOURCE, resources[0], context))
        if self.further is not None:
            needed.extend(self.further(scope, raw))
        if len(needed) > _MOST_PERMISSIONS:
            raise InvalidRequest(
                f"The request names too many resources: it needs {len(needed)} permissions, "
                f"and {_MOST_PERMISSIONS} is the maximum"
            )
        return tuple(needed)


@cache
def _members_of(request: type[Struct] | None) -> frozenset[str]:
    return frozenset() if request is None else frozenset(request.__struct_encode_fields__)


@dataclass(frozen=True, slots=True)
class Served:
    """An operation and the function that carries it out."""

    operation: Operation
    invoke: Invoke = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Implemented(Operation, Generic[BackendT]):
    """An operation with a handler, which works with the backend of its family."""

    invoke_with: Callable[[BackendT], Invoke] = field(repr=False)

    def served_by(self, backend: BackendT) -> Served:
        """Return the operation with the backend bound."""
        return Served(self, self.invoke_with(backend))


def operation(
    handler: Callable[[BackendT, Caller, RequestT], Awaitable[Struct | None]],
    resource: ResourceOf = any_resource,
    *,
    other_resources: ResourcesOf | None = None,
    context: ContextOf | None = None,
    further: FurtherOf | None = None,
) -> Implemented[BackendT]:
    """Return the operation of the handler, with the permissions that it needs.

    Its name is that of the request's class without ``Request``; raises KeyError if no table of routes has it.
    """
    _, _, request, response = inspect.get_annotations(handler).values()

    def invoke_with(backend: BackendT) -> Invoke:
        # Compiled by the first request, because all operations together would take a tenth of the start.
        binder = cache(partial(compile_binder, request))

        async def invoke(caller: Caller, raw: RawRequest) -> bytes:
            return encode_object(await handler(backend, caller, binder()(raw)))

        return invoke

    name = request.__name__.removesuffix("Request")
    plane = next((each for each, routes in _OTHER_ROUTES.items() if name in routes), Plane.CONTROL)
    method, path = _OTHER_ROUTES.get(plane, ROUTES)[name].split(" ")
    return Implemented(
        name=name,
        method=method,
        path=path,
        resource=resource,
        request=request,
        response=response,
        other_resources=other_resources,
        context=context,
        further=further,
        plane=plane,
        description=inspect.getdoc(handler) or "",
        invoke_with=invoke_with,
    )


def unimplemented(name: str, route: str) -> Served:
    """Return an operation of AWS IoT that answers that it is not implemented."""

    async def invoke(caller: Caller, raw: RawRequest) -> bytes:
        del caller, raw
        raise not_implemented(name)

    method, path = route.split(" ")
    return Served(Operation(name, method, path, plane=Plane.DATA if name in DATA_ROUTES else Plane.CONTROL), invoke)
