"""Owns the lookup of an operation by method and raw path. Independent of messages and policies.

The raw path is split before it is decoded, so that an encoded slash stays inside its label.
"""

from collections.abc import Iterable

from msgspec import Struct, field

from thingmint.api.wire.operation import Invoke, Operation, Served
from thingmint.api.wire.reading.binding import RawRequest, decode_component, decode_query
from thingmint.core.errors import OperationUnknown


class Match(Struct, frozen=True):
    """An operation and the labels in the path."""

    operation: Operation
    labels: dict[str, str]
    invoke: Invoke
    """Checks the request, carries it out and returns the body of the answer; raises the operation's errors."""

    def read(self, raw_query: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> RawRequest:
        """Return the request's parts; raise InvalidRequest if the query cannot be decoded."""
        return RawRequest(self.labels, decode_query(raw_query), headers, body)


class _RouteNode(Struct):
    literals: dict[bytes, "_RouteNode"] = field(default_factory=dict)
    label: "_RouteNode | None" = None
    ends: "_Route | None" = None
    greedy: "_Route | None" = None


class _Route(Struct, frozen=True):
    served: Served
    names: tuple[str, ...]


class Router:
    """Finds operations by method and path; prefers literal segments to labels, and labels to greedy labels."""

    def __init__(self, operations: Iterable[Served]) -> None:
        self._methods: dict[str, _RouteNode] = {}
        for served in operations:
            path = served.operation.path
            self._add(served, path)
            # Two path templates of the model end in a slash, which some clients omit.
            if path.endswith("/"):
                self._add(served, path[:-1])

    def match(self, method: str, raw_path: bytes) -> Match:
        """Return the operation and its labels; raise OperationUnknown, or InvalidRequest for an undecodable label."""
        root = self._methods.get(method)
        found = None if root is None or raw_path[:1] != b"/" else _find(root, raw_path[1:].split(b"/"), 0, ())
        if found is None:
            raise OperationUnknown("No operation answers to this method and path")
        route, values = found
        served = route.served
        if not values:
            return Match(served.operation, {}, served.invoke)
        labels = {name: decode_component(value, "path") for name, value in zip(route.names, values, strict=True)}
        return Match(served.operation, labels, served.invoke)

    def _add(self, served: Served, path: str) -> None:
        node = self._methods.setdefault(served.operation.method, _RouteNode())
        names: list[str] = []
        for segment in path[1:].split("/"):
            if not segment.startswith("{"):
                node = node.literals.setdefault(segment.encode(), _RouteNode())
                continue
            name = segment[1:-1]
            names.append(name.removesuffix("+"))
            if name.endswith("+"):
                _refuse_second(node.greedy, served)
                node.greedy = _Route(served, tuple(names))
                return
            node.label = node.label or _RouteNode()
            node = node.label
        _refuse_second(node.ends, served)
        node.ends = _Route(served, tuple(names))


def _refuse_second(present: _Route | None, served: Served) -> None:
    if present is not None:
        raise ValueError(f"{served.operation.name} and {present.served.operation.name} have the same route")


def _find(
    node: _RouteNode, segments: list[bytes], at: int, values: tuple[bytes, ...]
) -> tuple[_Route, tuple[bytes, ...]] | None:
    if at == len(segments):
        return None if node.ends is None else (node.ends, values)
    segment = segments[at]
    literal = node.literals.get(segment)
    found = None if literal is None else _find(literal, segments, at + 1, values)
    # An empty segment is not a label, because AWS's identifiers are not empty.
    if found is None and node.label is not None and segment:
        found = _find(node.label, segments, at + 1, (*values, segment))
    if found is None and node.greedy is not None and segment:
        return node.greedy, (*values, b"/".join(segments[at:]))
    return found
