"""Owns tags: which are valid, how many a resource can have, and which resources can have tags."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from thingmint.core.errors import InvalidRequest, LimitExceeded
from thingmint.core.identifiers import Scope, iot_arn

# AWS's tagging reference: at most 50 user tags on a resource; keys with this prefix are AWS's own.
MAX_TAGS = 50
_RESERVED_PREFIX = "aws:"


class TaggableKind(StrEnum):
    """The kinds of resources that can have tags, as in their ARNs. Certificates and things have none."""

    POLICY = "policy"
    THING_TYPE = "thingtype"
    THING_GROUP = "thinggroup"
    BILLING_GROUP = "billinggroup"
    CA_CERTIFICATE = "cacert"
    PROVISIONING_TEMPLATE = "provisioningtemplate"
    ROLE_ALIAS = "rolealias"
    CERTIFICATE_PROVIDER = "certificateprovider"


_KINDS = frozenset(kind.value for kind in TaggableKind)


@dataclass(frozen=True, slots=True)
class Taggable:
    """A resource that can have tags. It may not exist."""

    scope: Scope
    kind: TaggableKind
    name: str

    @property
    def arn(self) -> str:
        """The ARN under which the tags are stored."""
        return iot_arn(self.scope, f"{self.kind}/{self.name}")


def taggable(scope: Scope, arn: str) -> Taggable | None:
    """Return the resource of this account and region that the ARN names, None unless its kind has tags."""
    kind, slash, name = arn.removeprefix(iot_arn(scope, "")).partition("/")
    if not slash or kind not in _KINDS:
        return None
    # Ids are looked up in lower case.
    return Taggable(scope, TaggableKind(kind), name.lower() if kind == TaggableKind.CA_CERTIFICATE else name)


def new_tags(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return the tags by their keys; raise InvalidRequest if a key appears twice or is AWS's own."""
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key.lower().startswith(_RESERVED_PREFIX):
            raise InvalidRequest(f"The tag {key} is reserved: keys that start with {_RESERVED_PREFIX} are AWS's own")
        if key in tags:
            raise InvalidRequest(f"The tag {key} appears more than once")
        if "\0" in value:
            raise InvalidRequest(f"The value of the tag {key} holds a NUL character")
        tags[key] = value
    return tags


def ensure_number_of_new_tags(tags: Mapping[str, str]) -> None:
    """Raise InvalidRequest if a new resource has too many tags."""
    if len(tags) > MAX_TAGS:
        raise InvalidRequest(f"A resource has at most {MAX_TAGS} tags")


def ensure_room(present: Mapping[str, str], added: Mapping[str, str]) -> None:
    """Raise LimitExceeded if the resource would have too many tags."""
    if len(present.keys() | added.keys()) > MAX_TAGS:
        raise LimitExceeded(f"A resource has at most {MAX_TAGS} tags")


def ensure_removable(keys: Sequence[str]) -> None:
    """Raise InvalidRequest if one of the keys is AWS's own."""
    new_tags((key, "") for key in set(keys))
