"""What a tag may be, and which resources have some."""

import pytest

from thingmint.core.errors import InvalidRequest, LimitExceeded
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.registry.tag import (
    MAX_TAGS,
    Taggable,
    TaggableKind,
    ensure_number_of_new_tags,
    ensure_removable,
    ensure_room,
    new_tags,
    taggable,
)

SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
OURS = "arn:aws:iot:eu-west-1:123456789012"


@pytest.mark.parametrize("kind", TaggableKind)
def test_the_arn_of_a_resource_leads_to_it_and_back(kind: TaggableKind) -> None:
    resource = taggable(SCOPE, f"{OURS}:{kind}/a:b/c")

    assert resource == Taggable(SCOPE, kind, "a:b/c")
    assert resource.arn == f"{OURS}:{kind}/a:b/c"


def test_the_id_of_a_ca_certificate_is_looked_up_in_lower_case() -> None:
    assert taggable(SCOPE, f"{OURS}:cacert/AB") == Taggable(SCOPE, TaggableKind.CA_CERTIFICATE, "ab")
    assert taggable(SCOPE, f"{OURS}:policy/AB") == Taggable(SCOPE, TaggableKind.POLICY, "AB")


@pytest.mark.parametrize(
    "arn",
    [
        f"{OURS}:cert/ab",
        f"{OURS}:thing/lamp",
        f"{OURS}:policy",
        f"{OURS}:",
        "arn:aws:iot:eu-west-1:210987654321:policy/p",
        "arn:aws:iot:eu-west-2:123456789012:policy/p",
        "policies/p",
    ],
)
def test_other_resources_have_no_tags(arn: str) -> None:
    assert taggable(SCOPE, arn) is None


def test_tags_are_kept_by_their_keys_in_which_case_counts() -> None:
    assert new_tags([("line", "7"), ("Line", ""), ("aws", "x")]) == {"line": "7", "Line": "", "aws": "x"}


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([("line", "7"), ("line", "7")], "more than once"),
        ([("aws:line", "7")], "reserved"),
        ([("AWS:line", "7")], "reserved"),
        ([("line", "7\0")], "NUL"),
    ],
)
def test_tags_that_cannot_be_are_refused(pairs: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        new_tags(pairs)


def test_a_resource_has_at_most_fifty_tags() -> None:
    full = {f"key-{number}": "" for number in range(MAX_TAGS)}

    ensure_number_of_new_tags(full)
    ensure_room(full, {"key-0": "changed"})
    with pytest.raises(InvalidRequest, match="at most 50"):
        ensure_number_of_new_tags({**full, "one": ""})
    with pytest.raises(LimitExceeded, match="at most 50"):
        ensure_room(full, {"one": ""})


def test_reserved_tags_cannot_be_taken_away() -> None:
    ensure_removable(["line", "line"])
    with pytest.raises(InvalidRequest, match="reserved"):
        ensure_removable(["aws:line"])
