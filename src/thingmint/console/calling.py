"""Owns the calls of operations by pages, with the routes, permissions, quotas and checks of calls by HTTP.

A page names members of the operation's request. The request's class says which part of an HTTP request has each.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct, field
from msgspec.structs import FieldInfo, fields

from thingmint.api.service import OPERATIONS
from thingmint.api.wire.calls import Calls, Sent
from thingmint.api.wire.operation import Operation
from thingmint.api.wire.reading.binding import Location, RawRequest, location_of
from thingmint.api.wire.routing import Match
from thingmint.core.caller import Caller


class OperationAnswer(dict[str, Any]):
    """An object of an answer. A member that the answer lacks is None."""

    def __missing__(self, name: str) -> None:
        return None


_DECODE = msgspec.json.Decoder().decode


class _Parts(Struct):
    path: str
    query: list[str] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    members: dict[str, object] = field(default_factory=dict)
    payload: bytes | None = None

    @property
    def body(self) -> bytes:
        if self.payload is not None:
            return self.payload
        return msgspec.json.encode(self.members) if self.members else b""


class Operations(Struct, frozen=True):
    """Calls operations for one caller and one request of the console."""

    calls: Calls
    caller: Caller
    sent: Sent

    async def call(self, name: str, **members: object) -> OperationAnswer:
        """Return the answer of the operation; raise what it raises, AccessDenied among it.

        Members have the names of AWS's model. Those that are None are left out.
        """
        match, raw = self._request(name, members)
        answer = _answer_of(_DECODE(await self.calls.perform(match, self.caller, raw, self.sent)))
        assert isinstance(answer, OperationAnswer)
        return answer

    async def require(self, name: str, **members: object) -> None:
        """Return if the caller may call the operation so; raise AccessDenied otherwise."""
        match, raw = self._request(name, members)
        await self.calls.require(self.caller, match.operation.permissions(self.caller.scope, raw), self.sent)

    def _request(self, name: str, members: Mapping[str, object]) -> tuple[Match, RawRequest]:
        operation = _operations()[name]
        parts = _parts(operation, members)
        match = self.calls.router.match(operation.method, parts.path.encode("ascii"))
        # Another operation would be asked other permissions: it must be the one that the page named.
        assert match.operation.name == name, f"{parts.path} is no path of {name}"
        return match, match.read("&".join(parts.query).encode("ascii"), parts.headers, parts.body)


def _answer_of(value: object) -> object:
    match value:
        case dict():
            return OperationAnswer({name: _answer_of(member) for name, member in value.items()})
        case list():
            return [_answer_of(member) for member in value]
        case _:
            return value


@cache
def _operations() -> Mapping[str, Operation]:
    return {operation.name: operation for operation in OPERATIONS}


def _parts(operation: Operation, members: Mapping[str, object]) -> _Parts:
    """Return the parts of a request; raise TypeError for a member that the operation has not."""
    assert operation.request is not None
    parts = _Parts(operation.path)
    known = {each.encode_name: each for each in fields(operation.request)}
    if unknown := members.keys() - known.keys():
        raise TypeError(f"{operation.name} has no {', '.join(sorted(unknown))}")
    for name, value in members.items():
        if value is not None:
            _PLACES[location_of(known[name])](parts, known[name], value)
    return parts


def _in_path(parts: _Parts, member: FieldInfo, value: object) -> None:
    for label in (f"{{{member.encode_name}}}", f"{{{member.encode_name}+}}"):
        parts.path = parts.path.replace(label, _quoted(value))


def _in_query(parts: _Parts, member: FieldInfo, value: object) -> None:
    text = str(value).lower() if isinstance(value, bool) else value
    parts.query.append(f"{member.encode_name}={_quoted(text)}")


def _in_header(parts: _Parts, member: FieldInfo, value: object) -> None:
    parts.headers.append((member.encode_name.lower().encode("ascii"), str(value).encode("latin-1", "replace")))


def _in_body(parts: _Parts, member: FieldInfo, value: object) -> None:
    parts.members[member.encode_name] = value


def _as_payload(parts: _Parts, member: FieldInfo, value: object) -> None:
    del member
    assert isinstance(value, bytes)
    parts.payload = value


_PLACES: dict[Location, Callable[[_Parts, FieldInfo, object], None]] = {
    Location.PATH: _in_path,
    Location.QUERY: _in_query,
    Location.HEADER: _in_header,
    Location.BODY: _in_body,
    Location.PAYLOAD: _as_payload,
}


def _quoted(value: object) -> str:
    return quote(str(value).encode("utf-8", "replace"), safe="")
