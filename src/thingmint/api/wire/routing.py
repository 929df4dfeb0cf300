"""Owns the way from a method and a raw path to an operation; knows neither messages nor policies.

The raw path is split before anything in it is decoded, so that an encoded slash stays inside its label.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from thingmint.api.wire.binding import RawRequest, decode_component, decode_query
from thingmint.api.wire.operation import Operation
from thingmint.api.wire.permissions import TAG_RESOURCE, tag_context
from thingmint.core.caller import Caller
from thingmint.core.errors import OperationUnknown
from thingmint.core.identifiers import Scope
from thingmint.registration.policies.authorization import Permission


@dataclass(frozen=True, slots=True)
class Match:
    """An operation and the labels of the path that led to it."""

    operation: Operation
    labels: dict[str, str]

    def read(self, raw_query: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> RawRequest:
        """Return the request's parts; raise InvalidRequest if the query cannot be decoded."""
        return RawRequest(self.labels, decode_query(raw_query), headers, body)

    def resource(self, scope: Scope, raw: RawRequest) -> str | None:
        """Return the first resource that a policy must allow, or None if there is nothing to allow."""
        resource = self.operation.resource
        return None if resource is None else resource(scope, raw)

    def resources(self, scope: Scope, raw: RawRequest) -> tuple[str, ...]:
        """Return all resources that policies must allow, each by itself."""
        first, others = self.resource(scope, raw), self.operation.other_resources
        if first is None:
            return ()
        return (first,) if others is None else (first, *others(scope, raw))

    def context(self, scope: Scope, raw: RawRequest) -> Mapping[str, tuple[str, ...]]:
        """Return the condition keys that only this operation has."""
        context = self.operation.context
        return {} if context is None else context(scope, raw)

    def permissions(self, scope: Scope, raw: RawRequest) -> tuple[Permission, ...]:
        """Return all that policies must allow: the operation on its resources, setting tags, and what else it needs."""
        operation, resources = self.operation, self.resources(scope, raw)
        tags = tag_context(raw) if operation.speaks_of_tags else {}
        context = {**self.context(scope, raw), **tags}
        needed = [Permission(operation.action, resource, context) for resource in resources]
        if operation.creates_with_tags and tags:
            needed.append(Permission(TAG_RESOURCE, resources[0], context))
        if operation.further is not None:
            needed.extend(operation.further(scope, raw))
        return tuple(needed)

    async def invoke(self, caller: Caller, raw: RawRequest) -> bytes:
        """Check the request, do what it asks and return the body of the answer; raise what the operation raises."""
        return await self.operation.invoke(caller, raw)


@dataclass(slots=True)
class _Node:
    literals: dict[bytes, "_Node"] = field(default_factory=dict)
    label: "_Node | None" = None
    ends: "_Route | None" = None
    greedy: "_Route | None" = None


@dataclass(frozen=True, slots=True)
class _Route:
    operation: Operation
    names: tuple[str, ...]


class Router:
    """Finds operations by method and path: a literal segment before a label, a label before a greedy label."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._methods: dict[str, _Node] = {}
        for operation in operations:
            self._add(operation, operation.path)
            # Two templates of the model end in a slash, which some clients drop.
            if operation.path.endswith("/"):
                self._add(operation, operation.path[:-1])

    def match(self, method: str, raw_path: bytes) -> Match:
        """Return the operation and its labels; raise OperationUnknown, or InvalidRequest for an undecodable label."""
        root = self._methods.get(method)
        found = None if root is None or raw_path[:1] != b"/" else _find(root, raw_path[1:].split(b"/"), 0, ())
        if found is None:
            raise OperationUnknown("No operation answers to this method and path")
        route, values = found
        if not values:
            return Match(route.operation, {})
        labels = {name: decode_component(value, "path") for name, value in zip(route.names, values, strict=True)}
        return Match(route.operation, labels)

    def _add(self, operation: Operation, path: str) -> None:
        node = self._methods.setdefault(operation.method, _Node())
        names: list[str] = []
        for segment in path[1:].split("/"):
            if not segment.startswith("{"):
                node = node.literals.setdefault(segment.encode(), _Node())
                continue
            name = segment[1:-1]
            names.append(name.removesuffix("+"))
            if name.endswith("+"):
                _refuse_second(node.greedy, operation)
                node.greedy = _Route(operation, tuple(names))
                return
            node.label = node.label or _Node()
            node = node.label
        _refuse_second(node.ends, operation)
        node.ends = _Route(operation, tuple(names))


def _refuse_second(present: _Route | None, operation: Operation) -> None:
    if present is not None:
        raise ValueError(f"{operation.name} and {present.operation.name} have the same route")


def _find(
    node: _Node, segments: list[bytes], at: int, values: tuple[bytes, ...]
) -> tuple[_Route, tuple[bytes, ...]] | None:
    if at == len(segments):
        return None if node.ends is None else (node.ends, values)
    segment = segments[at]
    literal = node.literals.get(segment)
    found = None if literal is None else _find(literal, segments, at + 1, values)
    # An empty segment is no label: AWS's templates have no empty identifiers.
    if found is None and node.label is not None and segment:
        found = _find(node.label, segments, at + 1, (*values, segment))
    if found is None and node.greedy is not None and segment:
        return node.greedy, (*values, b"/".join(segments[at:]))
    return found
