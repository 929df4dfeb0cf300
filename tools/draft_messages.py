"""Drafts code from the AWS IoT service model: the table of operations, or the messages of an operation.

    python tools/draft_messages.py table > src/thingmint/api/wire/routes.py
    python tools/draft_messages.py messages RegisterCertificate

The table is regenerated when AWS adds operations; a contract test says when. Messages are a
first draft that people own from then on (docs/decisions/0003-messages.md).
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session

TABLE_HEADER = '''"""Owns the names and routes of all operations of AWS IoT, whether Thingmint has them or not.

Drafted from AWS's service model by `tools/draft_messages.py`, and held against it by a contract test.
"""

# Name: method and path template.
ROUTES: dict[str, str] = {
'''
SCALARS = {
    "string": "str",
    "integer": "int",
    "long": "int",
    "boolean": "bool",
    "timestamp": "datetime",
    "double": "float",
    "float": "float",
}
LOCATIONS = {"uri": "PATH", "querystring": "QUERY", "header": "HEADER", "headers": "HEADER", None: "BODY"}

Model = Mapping[str, Any]  # parsed JSON of a third party's format


def table(model: Model) -> Iterator[str]:
    """Yield the source of the table."""
    yield TABLE_HEADER
    for name, operation in sorted(model["operations"].items()):
        yield f'    "{name}": "{operation["http"]["method"]} {operation["http"]["requestUri"]}",\n'
    yield "}\n"


def messages(model: Model, operation: str) -> Iterator[str]:
    """Yield drafts of the request and response of an operation, and of the enumerations that they name."""
    for side in ("input", "output"):
        if side in model["operations"][operation]:
            yield from struct(model, model["operations"][operation][side]["shape"], request=side == "input")


def struct(model: Model, shape_name: str, *, request: bool) -> Iterator[str]:
    """Yield the draft of a struct, members that it needs first."""
    shape = model["shapes"][shape_name]
    for member in shape.get("members", {}).values():
        yield from needed(model, member["shape"])
    yield f'\n\nclass {shape_name}(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):\n'
    for name, member in shape.get("members", {}).items():
        annotation = annotated(model, member, request=request)
        required = name in shape.get("required", ())
        yield f"    {snake_case(name)}: {annotation if required else optional(annotation)}\n"
    if not shape.get("members"):
        yield '    """Has no members."""\n'


def needed(model: Model, shape_name: str) -> Iterator[str]:
    """Yield the drafts of the structures and enumerations that a shape is made of."""
    shape = model["shapes"][shape_name]
    if shape["type"] == "structure":
        yield from struct(model, shape_name, request=False)
    elif "enum" in shape:
        yield f"\n\nclass {shape_name}(StrEnum):\n"
        for value in shape["enum"]:
            yield f'    {re.sub(r"[^A-Za-z0-9]", "_", value).upper()} = "{value}"\n'
    for part in ("member", "key", "value"):
        if part in shape:
            yield from needed(model, shape[part]["shape"])


def annotated(model: Model, member: Model, *, request: bool) -> str:
    """Return the annotation of a member: its type, where it travels, its limits."""
    shape = model["shapes"][member["shape"]]
    extras = [LOCATIONS[member.get("location")]] if request else []
    extras += constraint(shape)
    bare = type_of(model, member["shape"])
    return f"Annotated[{', '.join([bare, *extras])}]" if extras else bare


def constraint(shape: Model) -> list[str]:
    """Return the limits of a shape, if it has any."""
    low, high = ("ge", "le") if shape["type"] in ("integer", "long", "double") else ("min_length", "max_length")
    limits = [f"{low}={shape['min']}"] if shape.get("min") is not None else []
    limits += [f"{high}={shape['max']}"] if shape.get("max") is not None else []
    limits += [f"pattern={shape['pattern']!r}"] if "pattern" in shape else []
    return [f"Constraint({', '.join(limits)})"] if limits else []


def type_of(model: Model, shape_name: str) -> str:
    """Return the Python type of a shape; enumerations and structures are named after it."""
    shape = model["shapes"][shape_name]
    if shape["type"] == "list":
        return f"list[{annotated(model, shape['member'], request=False)}]"
    if shape["type"] == "map":
        key, value = (annotated(model, shape[part], request=False) for part in ("key", "value"))
        return f"dict[{key}, {value}]"
    return shape_name if "enum" in shape else SCALARS.get(shape["type"], shape_name)


def optional(annotation: str) -> str:
    """Return the annotation of a member that may be absent."""
    return f"{annotation} | None = None"


def snake_case(name: str) -> str:
    """Return a member's name in Python's spelling."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table", "messages"])
    parser.add_argument("operation", nargs="?")
    arguments = parser.parse_args()
    model = botocore.session.get_session().get_component("data_loader").load_service_model("iot", "service-2")
    lines = table(model) if arguments.what == "table" else messages(model, arguments.operation)
    sys.stdout.writelines(lines)


if __name__ == "__main__":
    main()
