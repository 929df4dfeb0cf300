"""Owns requests that break AWS's model, drawn from the model itself: each breaks one member in one way.

Knows how a request travels (restJson1) and nothing of what an operation does. botocore's own serializer would not do:
it cannot write most of what is wrong.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

Wire: TypeAlias = Any
"""JSON, whatever its type should be."""

HUGE = 10**400
ILL_FORMED = ("", " ", "é", "\0", "a b/c%2F..", "'; DROP TABLE thing; --", "\ud7ff\U0010ffff", "x" * 5_000)
"""Texts that break patterns and lengths, where there are any; in a URL, too, whose length HTTP servers limit."""
ENDLESS = "x" * 500_000

# What the model's patterns ask for and no letter "a" keeps.
_SAMPLES = {
    "AwsAccountId": "000000000001",
    "CertificateId": "ab" * 32,
    "PolicyVersionId": "1",
    "PayloadVersion": "2020-04-01",
    "RoleArn": "arn:aws:iam::000000000000:role/provisioning",
    "ClientRequestToken": "a" * 36,
}
_JAVA_CLASSES = {
    r"\p{Graph}": "!-~",
    r"\p{L}": "A-Za-z",
    r"\p{Z}": " ",
    r"\p{N}": "0-9",
    r"\p{C}": "\x00-\x1f\x7f",
}


@dataclass(frozen=True)
class Draft:
    """A request of an operation: its members by where they travel, each as it would stand in JSON."""

    operation: OperationModel
    labels: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Wire] = field(default_factory=dict)
    headers: Mapping[str, Wire] = field(default_factory=dict)
    body: Mapping[str, Wire] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path and the query."""
        path = self.operation.http["requestUri"]
        for name, value in self.labels.items():
            path = path.replace("{" + name + "}", quote(_text(value), safe="")).replace(
                "{" + name + "+}", quote(_text(value))
            )
        pairs = [(name, _text(each)) for name, value in self.query.items() for each in _listed(value)]
        return path if not pairs else f"{path}{'&' if '?' in path else '?'}{urlencode(pairs, quote_via=quote)}"

    @property
    def content(self) -> bytes:
        """The body."""
        return json.dumps(self.body).encode() if self.body else b""


_NO_OBJECT: tuple[Wire, ...] = (1, "text", True, [])
_NO_LIST: tuple[Wire, ...] = (1, "text", True, {}, [None])


def sample_request(operation: OperationModel, *, optional: bool = False) -> Draft:
    """Return a request that keeps the model, of the required members or of all, about things that do not exist."""
    draft = Draft(operation)
    if operation.input_shape is None:
        return draft
    for name, shape in operation.input_shape.members.items():
        if optional or name in operation.input_shape.required_members:
            draft = _with(draft, name, shape, sample(shape, optional=optional))
    return draft


def bad_requests(operation: OperationModel) -> Iterator[tuple[str, Draft]]:
    """Yield requests with what is wrong with them: one member missing, of another type, or out of its bounds."""
    if operation.input_shape is None:
        return
    good = sample_request(operation)
    for name, shape in operation.input_shape.members.items():
        location = shape.serialization.get("location")
        if name in operation.input_shape.required_members and location != "uri":
            yield f"without {name}", _without(good, name, shape)
        for what, value in bad_values(shape, as_text=location is not None):
            # Without its label a path is that of another operation; and no client writes what no header can hold.
            if (location == "uri" and value == "") or (location == "header" and not _fits_header(value)):
                continue
            yield f"{name}{what}", _with(good, name, shape, value)


def bad_values(shape: Shape, *, as_text: bool) -> Iterator[tuple[str, Wire]]:
    """Yield values that the shape forbids, each with a name for it; as text if it travels outside of the body."""
    match shape:
        case StructureShape():
            yield from _bad_structures(shape)
        case ListShape():
            yield from _bad_lists(shape, as_text=as_text)
        case MapShape():
            yield from ((f" = {wrong!r:.40}", wrong) for wrong in _NO_OBJECT)
            for what, value in bad_values(shape.value, as_text=False):
                yield f"[value]{what}", {sample(shape.key): value}
            for what, key in bad_values(shape.key, as_text=True):
                yield f"[key]{what}", {key: sample(shape.value)}
        case _:
            yield from ((f" = {wrong!r:.40}", wrong) for wrong in _bad_scalars(shape, as_text=as_text))


def sample(shape: Shape, *, optional: bool = False) -> Wire:
    """Return a value that keeps the shape."""
    match shape:
        case StructureShape():
            names = shape.members if optional else shape.required_members
            return {_wire_name(name, shape.members[name]): sample(shape.members[name]) for name in names}
        case ListShape():
            return [sample(shape.member)]
        case MapShape():
            return {sample(shape.key): sample(shape.value)}
    if shape.name in _SAMPLES:
        return _SAMPLES[shape.name]
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "a" * max(1, shape.metadata.get("min", 1))
    return {"boolean": False, "timestamp": 0}.get(shape.type_name, shape.metadata.get("min", 1))


def _bad_structures(shape: StructureShape) -> Iterator[tuple[str, Wire]]:
    yield from ((f" = {wrong!r:.40}", wrong) for wrong in _NO_OBJECT)
    for name, member in shape.members.items():
        good, wire_name = sample(shape), _wire_name(name, member)
        if name in shape.required_members:
            yield f" without {name}", {key: value for key, value in good.items() if key != wire_name}
        for what, value in bad_values(member, as_text=False):
            yield f".{name}{what}", good | {wire_name: value}


def _bad_lists(shape: ListShape, *, as_text: bool) -> Iterator[tuple[str, Wire]]:
    if not as_text:
        yield from ((f" = {wrong!r:.40}", wrong) for wrong in _NO_LIST)
    if "max" in shape.metadata:
        yield " too long", [sample(shape.member)] * (shape.metadata["max"] + 1)
    if shape.metadata.get("min"):
        yield " too short", []
    for what, value in bad_values(shape.member, as_text=as_text):
        yield f"[0]{what}", [value]


def _bad_scalars(shape: Shape, *, as_text: bool) -> Iterator[Wire]:
    if shape.type_name == "string":
        texts = (*ILL_FORMED, "BANANA") if as_text else (*ILL_FORMED, "BANANA", ENDLESS)
        yield from (text for text in texts if _breaks(shape, text))
        yield from () if as_text else (1, True, [], {})
    elif shape.type_name == "boolean":
        yield from ("yes", "BANANA") if as_text else ("true", 1, [], {})
    elif shape.type_name in {"integer", "long"}:
        yield from ("1.5", "1e3", "BANANA", "0x1") if as_text else ("1", True, 1.5, [], {})
        bounds = [shape.metadata[name] + step for name, step in (("min", -1), ("max", 1)) if name in shape.metadata]
        yield from (*bounds, HUGE, -HUGE, 2**63, -(2**63) - 1)
    elif not as_text:
        yield from ("now", [], {}, HUGE)


def _breaks(shape: Shape, text: str) -> bool:
    limits = shape.metadata
    if shape.enum:
        return text not in shape.enum
    pattern = limits.get("pattern", r"[\s\S]*")
    for java, ours in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, ours)
    is_short, is_long = len(text) < limits.get("min", 0), len(text) > limits.get("max", len(text))
    # Letters of other alphabets are letters to the model's \p{L}; what is a letter is not judged here.
    is_foreign = not text.isascii() and r"\p{L}" in limits.get("pattern", "")
    return is_short or is_long or (not is_foreign and re.fullmatch(pattern, text, re.ASCII) is None)


def _with(draft: Draft, name: str, shape: Shape, value: Wire) -> Draft:
    place = _place(shape)
    return Draft(**(draft.__dict__ | {place: getattr(draft, place) | {_wire_name(name, shape): value}}))


def _without(draft: Draft, name: str, shape: Shape) -> Draft:
    members = getattr(draft, _place(shape))
    kept = {key: value for key, value in members.items() if key != _wire_name(name, shape)}
    return Draft(**(draft.__dict__ | {_place(shape): kept}))


def _fits_header(value: Wire) -> bool:
    text = _text(value)
    return text.isascii() and text.isprintable() and text.strip() == text != ""


def _place(shape: Shape) -> str:
    location = shape.serialization.get("location", "body")
    return {"uri": "labels", "querystring": "query", "header": "headers", "body": "body"}[location]


def _wire_name(name: str, shape: Shape) -> str:
    return str(shape.serialization.get("name", name))


def _listed(value: Wire) -> list[Wire]:
    return value if isinstance(value, list) else [value]


def _text(value: Wire) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def hostile_requests(operation: OperationModel) -> Iterator[tuple[str, Draft]]:
    """Yield requests that keep the model and whose texts are meant to hurt somebody further in."""
    if operation.input_shape is None:
        return
    good = sample_request(operation)
    for name, shape in operation.input_shape.members.items():
        location = shape.serialization.get("location")
        for text in HOSTILE:
            value = _filled_with(shape, text)
            if value is not None and (location != "header" or _fits_header(value)):
                yield f"{name} = {text!r:.40}", _with(good, name, shape, value)


HOSTILE = (
    "a\0b",
    "' OR 1=1; DROP TABLE thing; --",
    "..%2F..%2Fetc%2Fpasswd",
    "$1 {PK} %s \\",
    "\u202ealucol\ufffe\U0001f4a1",
    "${iot:Connection.Thing.ThingName}*?",
    "9" * 40,
    "{" * 30,
)


def _filled_with(shape: Shape, text: str) -> Wire:
    """Return a value of the shape with the text wherever the model allows it; None if it does nowhere."""
    match shape:
        case StructureShape():
            filled = {
                _wire_name(name, member): value
                for name, member in shape.members.items()
                if (value := _filled_with(member, text)) is not None
            }
            return sample(shape) | filled if filled else None
        case ListShape():
            value = _filled_with(shape.member, text)
            return None if value is None else [value]
        case MapShape():
            key, value = _filled_with(shape.key, text), _filled_with(shape.value, text)
            return None if value is None else {key or sample(shape.key): value}
    return text if shape.type_name == "string" and not _breaks(shape, text) else None
