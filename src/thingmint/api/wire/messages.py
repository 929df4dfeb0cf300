"""Owns the common parts of messages: their base class, and the limits of members of several operations."""

from collections.abc import Iterable, Mapping
from typing import Annotated, TypeAlias

from msgspec import Struct

from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.registry.tag import new_tags

CertificateIdText: TypeAlias = Annotated[str, Constraint(min_length=64, max_length=64, pattern="(0x)?[a-fA-F0-9]+")]
CertificateText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=65536, pattern=r"[\s\S]*")]
Marker: TypeAlias = Annotated[str, Constraint(max_length=1024, pattern="[A-Za-z0-9+/]+={0,2}")]
TagKeyText: TypeAlias = Annotated[
    str, Constraint(min_length=1, max_length=128, pattern=r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$")
]
PageSize: TypeAlias = Annotated[int, Constraint(ge=1, le=250)]
Timestamp: TypeAlias = float
"""Seconds since 1970 with milliseconds."""


class Message(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A message that is encoded without its absent members."""


class Tag(Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    key: TagKeyText
    value: Annotated[str, Constraint(min_length=0, max_length=256)] | None = None


def tags_of(messages: Iterable[Tag] | None) -> Mapping[str, str]:
    """Return the tags by their keys; raise InvalidRequest if a key appears twice or is AWS's own."""
    return new_tags((tag.key, tag.value or "") for tag in messages or ())
