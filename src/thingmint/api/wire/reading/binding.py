"""Owns the binding of requests: path labels, query, headers and body become one message struct.

A message's annotations define the location and limits of each member; `compile_binder` compiles them into a binder
once, at the first request. Independent of operations, routes and HTTP.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes

from msgspec import Struct, field
from msgspec.structs import FieldInfo, fields

from thingmint.api.wire.reading.codec import decode_object
from thingmint.api.wire.reading.constraints import Violations
from thingmint.api.wire.reading.readers import (
    NOT_NULL,
    Reader,
    is_required,
    json_reader,
    path_name,
    shape_of,
    text_reader,
)
from thingmint.core.errors import InvalidRequest

RequestT = TypeVar("RequestT", bound=Struct)


class Location(Enum):
    """The part of the request that holds a member."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    BODY = "body"
    PAYLOAD = "payload"
    """The whole raw body, which is not JSON."""


PATH, QUERY, HEADER, BODY = Location.PATH, Location.QUERY, Location.HEADER, Location.BODY
PAYLOAD = Location.PAYLOAD


class RawRequest(Struct, frozen=True):
    """The decoded but unchecked parts of a request; header names are lower case."""

    labels: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    # Cached, because several callers read the body, and decoding a large one takes milliseconds.
    _decoded: list[dict[str, object] | InvalidRequest] = field(default_factory=list)

    def __repr__(self) -> str:
        # Header fields and the query have signatures and session tokens.
        return f"RawRequest({len(self.headers)} header fields, {len(self.body)} bytes)"

    @property
    def members(self) -> dict[str, object]:
        """The JSON object in the body, empty for an empty body; raises InvalidRequest for other content."""
        decoded = self._decode()
        if isinstance(decoded, InvalidRequest):
            raise InvalidRequest(decoded.message)
        return decoded

    @property
    def unchecked_members(self) -> dict[str, object]:
        """The JSON object in the body for the evaluation of policies; empty for a body that is refused later.

        So a caller without permission gets AccessDenied first, for any body.
        """
        decoded = self._decode()
        return {} if isinstance(decoded, InvalidRequest) else decoded

    def _decode(self) -> dict[str, object] | InvalidRequest:
        if not self._decoded:
            try:
                self._decoded.append(decode_object(self.body))
            except InvalidRequest as refusal:
                self._decoded.append(refusal)
        return self._decoded[0]

    def first(self, parameter: str) -> str | None:
        """Return the first value of a query parameter, or None."""
        return next((value for name, value in self.query if name == parameter), None)


Binder: TypeAlias = Callable[[RawRequest], RequestT]


class _Member(Struct, frozen=True):
    name: str
    wire_name: str
    shown_name: str
    required: bool
    reader: Reader


_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def decode_component(raw: bytes, what: str) -> str:
    """Return the decoded label, name or value of a URL; raise InvalidRequest for bad escapes, bad UTF-8 and NUL."""
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise InvalidRequest(f"The {what} of the request holds an incomplete percent-encoding")
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest(f"The {what} of the request is not valid UTF-8") from None
    if "\0" in text:
        raise InvalidRequest(f"The {what} of the request holds a NUL character")
    return text


def decode_query(raw: bytes) -> list[tuple[str, str]]:
    """Return the parameters of a raw query in order; a name without ``=`` has the empty value.

    A plus sign stands for itself: markers contain it, and no SDK encodes a space as a plus sign. Raises InvalidRequest
    as `decode_component` does.
    """
    if not raw:
        return []
    pairs = (part.partition(b"=") for part in raw.split(b"&") if part)
    return [(decode_component(name, "query"), decode_component(value, "query")) for name, _, value in pairs]


def compile_binder(request: type[RequestT]) -> Binder[RequestT]:
    """Return the binder of a message; raise TypeError if a member has no location, or a type that does not fit it.

    The binder raises InvalidRequest, which lists every violation of the message's limits.
    """
    by_location: dict[Location, list[_Member]] = {location: [] for location in Location}
    payloads: list[str] = []
    for each in fields(request):
        location = location_of(each)
        if location is PAYLOAD:
            payloads.append(each.name)
        else:
            by_location[location].append(_member(each, location))
    labels, parameters = by_location[PATH], {member.wire_name: member for member in by_location[QUERY]}
    headers, body = {member.wire_name.lower().encode(): member for member in by_location[HEADER]}, by_location[BODY]
    required = [
        (member.name, member.shown_name) for member in (*parameters.values(), *headers.values()) if member.required
    ]

    def bind(raw: RawRequest) -> RequestT:
        violations = Violations()
        arguments: dict[str, object] = dict.fromkeys(payloads, raw.body)
        for member in labels:
            arguments[member.name] = member.reader(raw.labels[member.wire_name], member.shown_name, violations)
        if parameters:
            _bind_named(parameters, raw.query, arguments, violations)
        if headers:
            _bind_named(
                headers, [(name, value.decode("latin-1")) for name, value in raw.headers], arguments, violations
            )
        for name, shown_name in required:
            if name not in arguments:
                violations.add(None, shown_name, NOT_NULL)
        if body:
            _bind_body(body, raw.members, arguments, violations)
        violations.refuse_if_any()
        return request(**arguments)

    return bind


def compile_object_binder(request: type[RequestT]) -> Callable[[Mapping[str, object]], RequestT]:
    """Return the binder of a message whose members are all in one decoded object; raise TypeError as above."""
    members = [_member(field, BODY) for field in fields(request)]

    def bind(decoded: Mapping[str, object]) -> RequestT:
        violations = Violations()
        arguments: dict[str, object] = {}
        _bind_body(members, decoded, arguments, violations)
        violations.refuse_if_any()
        return request(**arguments)

    return bind


def location_of(field: FieldInfo) -> Location:
    """Return the member's location; raise TypeError unless its annotation has exactly one."""
    locations = [extra for extra in shape_of(field.type).annotations if isinstance(extra, Location)]
    if len(locations) != 1:
        raise TypeError(f"{field.name} must travel in one place, not {locations}")
    return locations[0]


def _member(field: FieldInfo, location: Location) -> _Member:
    read = json_reader if location is BODY else text_reader
    return _Member(field.name, field.encode_name, path_name(field.encode_name), is_required(field), read(field.type))


Name = TypeVar("Name", str, bytes)


def _bind_named(
    members: Mapping[Name, _Member],
    pairs: Sequence[tuple[Name, str]],
    arguments: dict[str, object],
    violations: Violations,
) -> None:
    for name, value in pairs:
        member = members.get(name)
        if member is None:
            continue
        # Refused, because with two values for one member, different programs may use different ones.
        if member.name in arguments:
            raise InvalidRequest(f"The parameter {member.wire_name} appears more than once")
        arguments[member.name] = member.reader(value, member.shown_name, violations)


def _bind_body(
    members: Sequence[_Member], decoded: Mapping[str, object], arguments: dict[str, object], violations: Violations
) -> None:
    for member in members:
        value = decoded.get(member.wire_name)
        if value is not None:
            arguments[member.name] = member.reader(value, member.shown_name, violations)
        elif member.required:
            violations.add(None, member.shown_name, NOT_NULL)
