"""Owns the conversion of single values from paths, queries, headers and JSON to typed values.

A reader is compiled once from a type annotation. It records violations and continues, so that one answer lists all of
them; its result after a violation is not used.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, TypeAlias, Union, get_args, get_origin

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from thingmint.api.wire.reading.constraints import Constraint, ValueRule, Violations, check, rules_of

Reader: TypeAlias = Callable[[object, str, Violations], object]
"""Takes a value, its path and the violations to add to; returns the typed value."""

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")
_LONG = range(-(2**63), 2**63)
_BOOLEANS = {"true": True, "false": False}

NOT_NULL = "Member must not be null"


class Shape(Struct, frozen=True):
    """The parts of an annotation: the bare type, whether it may be absent, and its metadata."""

    bare: object
    optional: bool
    annotations: tuple[object, ...]

    @property
    def rules(self) -> tuple[ValueRule, ...]:
        """The rules of the annotated constraints."""
        return rules_of(extra for extra in self.annotations if isinstance(extra, Constraint))


def shape_of(annotation: object) -> Shape:
    """Return the parts of an annotation; raise TypeError for a union other than with None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        shape = shape_of(inner)
        return Shape(shape.bare, shape.optional, shape.annotations + tuple(extras))
    if origin in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not NoneType]
        if len(members) != 1:
            raise TypeError(f"a member has one type, not {annotation}")
        shape = shape_of(members[0])
        return Shape(shape.bare, optional=True, annotations=shape.annotations)
    return Shape(annotation, optional=False, annotations=())


def text_reader(annotation: object) -> Reader:
    """Return the reader of a value that is sent as text; raise TypeError if the type is not supported."""
    shape = shape_of(annotation)
    convert = _enum(shape.bare) if _is_enum(shape.bare) else _FROM_TEXT.get(shape.bare)
    if convert is None:
        raise TypeError(f"{annotation} cannot travel in a path, a query or a header")
    return _checked(convert, shape.rules)


def json_reader(annotation: object) -> Reader:
    """Return the reader of a value of a JSON body; raise TypeError if the type is not supported."""
    shape = shape_of(annotation)
    bare, arguments = shape.bare, get_args(shape.bare)
    match get_origin(bare):
        case origin if origin is list:
            convert = _list(json_reader(arguments[0]))
        case origin if origin is dict:
            convert = _map(json_reader(arguments[0]), json_reader(arguments[1]))
        case _:
            convert = _json_scalar_or_struct(bare)
    return _checked(convert, shape.rules)


def _json_scalar_or_struct(bare: object) -> Reader:
    if isinstance(bare, type) and issubclass(bare, Struct):
        return _struct(bare)
    if _is_enum(bare):
        return _enum(bare)
    convert = _FROM_JSON.get(bare)
    if convert is None:
        raise TypeError(f"{bare} cannot travel in JSON")
    return convert


def _checked(convert: Reader, rules: tuple[ValueRule, ...]) -> Reader:
    if not rules:
        return convert

    def read(value: object, path: str, violations: Violations) -> object:
        converted = convert(value, path, violations)
        if converted is not _BROKEN:
            check(rules, converted, path, violations)
        return converted

    return read


class _Broken:
    """The result of a reader for a value of the wrong type, so that its limits are not checked as well."""


_BROKEN = _Broken()


def _break(value: object, path: str, violations: Violations, wording: str) -> _Broken:
    violations.add(value, path, wording)
    return _BROKEN


def _is_enum(bare: object) -> bool:
    return isinstance(bare, type) and issubclass(bare, StrEnum)


def _enum(bare: object) -> Reader:
    assert isinstance(bare, type)
    assert issubclass(bare, StrEnum)
    members = {member.value: member for member in bare}
    wording = f"Member must satisfy enum value set: [{', '.join(members)}]"

    def read(value: object, path: str, violations: Violations) -> object:
        member = members.get(value) if isinstance(value, str) else None
        return _break(value, path, violations, wording) if member is None else member

    return read


def _text_integer(value: object, path: str, violations: Violations) -> object:
    text = str(value)
    number = int(text) if _INTEGER.fullmatch(text) else None
    # `in` would compare all members of the range with a value that is no number.
    if number is None or number not in _LONG:
        return _break(value, path, violations, "Member must be an integer")
    return number


def _text_number(value: object, path: str, violations: Violations) -> object:
    text = str(value)
    return float(text) if _NUMBER.fullmatch(text) else _break(value, path, violations, "Member must be a number")


def _text_boolean(value: object, path: str, violations: Violations) -> object:
    found = _BOOLEANS.get(str(value).lower())
    return _break(value, path, violations, "Member must be true or false") if found is None else found


def _text_timestamp(value: object, path: str, violations: Violations) -> object:
    # In restJson1, timestamps in queries are RFC 3339 date-times.
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return _break(value, path, violations, "Member must be a timestamp")
    return time if time.tzinfo is not None else _break(value, path, violations, "Member must be a timestamp")


def _as_is(value: object, path: str, violations: Violations) -> object:
    del path, violations
    return value


def _json_string(value: object, path: str, violations: Violations) -> object:
    return value if isinstance(value, str) else _break(value, path, violations, "Member must be a string")


def _json_boolean(value: object, path: str, violations: Violations) -> object:
    return value if isinstance(value, bool) else _break(value, path, violations, "Member must be true or false")


def _json_integer(value: object, path: str, violations: Violations) -> object:
    # bool is a subclass of int in Python, and AWS does not accept a float without a fraction as an integer.
    if type(value) is int and value in _LONG:
        return value
    return _break(value, path, violations, "Member must be an integer")


def _json_number(value: object, path: str, violations: Violations) -> object:
    if (type(value) is int and value in _LONG) or (isinstance(value, float) and math.isfinite(value)):
        return float(value)
    return _break(value, path, violations, "Member must be a number")


def _json_timestamp(value: object, path: str, violations: Violations) -> object:
    seconds = _json_number(value, path, violations)
    if not isinstance(seconds, float):
        return seconds
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _break(value, path, violations, "Member must be a timestamp")


_FROM_TEXT: dict[object, Reader] = {
    str: _as_is,
    int: _text_integer,
    float: _text_number,
    bool: _text_boolean,
    datetime: _text_timestamp,
}
_FROM_JSON: dict[object, Reader] = {
    str: _json_string,
    int: _json_integer,
    float: _json_number,
    bool: _json_boolean,
    datetime: _json_timestamp,
}


def _list(element: Reader) -> Reader:
    def read(value: object, path: str, violations: Violations) -> object:
        if not isinstance(value, list):
            return _break(value, path, violations, "Member must be a list")
        violations.look_at(len(value))
        return [
            _present(element, member, f"{path}.{number}.member", violations) for number, member in enumerate(value, 1)
        ]

    return read


def _map(key: Reader, element: Reader) -> Reader:
    def read(value: object, path: str, violations: Violations) -> object:
        if not isinstance(value, dict):
            return _break(value, path, violations, "Member must be a map")
        violations.look_at(len(value))
        return {
            key(name, f"{path}.key", violations): _present(element, member, f"{path}.{name}.member", violations)
            for name, member in value.items()
        }

    return read


def _present(reader: Reader, value: object, path: str, violations: Violations) -> object:
    return _break(value, path, violations, NOT_NULL) if value is None else reader(value, path, violations)


def is_required(field: FieldInfo) -> bool:
    """Return whether the request is refused without the member."""
    return field.default is NODEFAULT and field.default_factory is NODEFAULT


def _struct(struct: type[Struct]) -> Reader:
    members = [
        (field.name, field.encode_name, path_name(field.encode_name), json_reader(field.type), is_required(field))
        for field in fields(struct)
    ]

    def read(value: object, path: str, violations: Violations) -> object:
        if not isinstance(value, dict):
            return _break(value, path, violations, "Member must be an object")
        arguments: dict[str, object] = {}
        for name, wire_name, shown_name, reader, required in members:
            member = value.get(wire_name)
            if member is not None:
                arguments[name] = reader(member, f"{path}.{shown_name}", violations)
            elif required:
                arguments[name] = _break(None, f"{path}.{shown_name}", violations, NOT_NULL)
        return struct(**arguments)

    return read


def path_name(wire_name: str) -> str:
    """Return the member's name in paths of AWS's messages, which begins in lower case."""
    return wire_name[:1].lower() + wire_name[1:]
