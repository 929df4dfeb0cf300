"""Owns short ways to write policies in tests."""

import json
from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def statement(**elements: Json) -> dict[str, Json]:
    """Return a statement that allows everything, with these elements instead; None leaves one out."""
    merged: dict[str, Json] = {"Effect": "Allow", "Action": "*", "Resource": "*", **elements}
    return {name: value for name, value in merged.items() if value is not None}


def document(*statements: Mapping[str, Json], version: str | None = "2012-10-17") -> str:
    """Return the text of a policy."""
    head: dict[str, Json] = {} if version is None else {"Version": version}
    return json.dumps({**head, "Statement": [dict(each) for each in statements]})
