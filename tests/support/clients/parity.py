"""Owns the page of operations: what each does, what policies are asked about it, and by which live test it is proved.

    python -m tests.support.clients.parity RECORD    take the proofs of a recorded run, write the page, print it

The tables of operations say everything but the proofs, and those are kept in the page itself. Which test calls what is
recorded by `tests/clients/conftest.py`; `make parity` does both.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.clients.whole_requests import kinds, permissions

from thingmint.api.service import OPERATIONS, UNIMPLEMENTED
from thingmint.api.wire.operation import Operation

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "operations.md"
_ROW = re.compile(r"^\| (\w+) \|.*\| `([^`|]+::[^`|]+)` \|$", re.MULTILINE)

_HEAD = """# Operations

Written by `make parity` from the tables of operations (`src/thingmint/api/*/operations.py`), the docstrings of their
handlers, and the tests that called them on a running service with AWS's SDK for Python and were answered with 200. Do
not edit it: a test compares.

An operation takes the permission `iot:` with its name on each of the resources, and those that are named beside them.
Which values condition keys have is told in [policies](policies.md).
"""
_TAIL = """
Accounts are made by making an access key for them: `thingmint access-key create --account 222222222222 --policy FILE`.
Each has a registry of its own; certificates go from one to another by transfer.

Without a signature, for those who watch the service:

| page | 200 means | for |
|---|---|---|
| `GET /healthz` | the process answers | restarting it |
| `GET /readyz` | the database can be written to, the clock is right | sending it callers of the API (port of `api`) |
| `GET /readyz/devices` | the device port accepts connections | sending it devices (ports of `mqtt` and `mqtt_alpn`) |
| `GET /metrics` | – | Prometheus |

Both checks of readiness answer within a second for any number of callers and any state of the database: one check of
the database is under way at a time, success is believed for a second, and a check that takes longer counts as a
failure. Do not use `/readyz` for the device ports: while the database is away, connected devices stay connected and
exchange messages, and only new ones are refused.
"""


def proofs() -> dict[str, str]:
    """Return the test that proves each operation, as the page has it."""
    return dict(_ROW.findall(PAGE.read_text()))


def page(proved: Mapping[str, str]) -> str:
    """Return the page's text."""
    return _HEAD + "\n" + "\n".join(_rows(proved)) + "\n\n" + _absent() + "\n" + _TAIL


def _rows(proved: Mapping[str, str]) -> Iterator[str]:
    yield "| operation | does | resources | permissions besides | condition keys | shown by |"
    yield "|---|---|---|---|---|---|"
    for operation in sorted(OPERATIONS, key=lambda each: each.name):
        proof = f"`{proved[operation.name]}`" if operation.name in proved else ""
        yield f"| {operation.name} | {_description(operation)} | {' | '.join(_asked(operation))} | {proof} |"


def _description(operation: Operation) -> str:
    return " ".join(operation.description.split()).replace("``", "`")


def _asked(operation: Operation) -> tuple[str, str, str]:
    """Return the kinds of resources, the further actions and the condition keys, each as the page shows it."""
    asked = permissions(operation)
    further = {each.action for each in asked} - {operation.action}
    keys = {key for each in asked if each.action == operation.action for key in each.context}
    return (
        _codes(kinds(asked, operation.action) or {"*"}),
        _codes(further),
        # A tag's own key stands behind a slash.
        _codes({f"{key.partition('/')[0]}/…" if "/" in key else key for key in keys}),
    )


def _codes(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _absent() -> str:
    text = (
        f"{len(OPERATIONS)} of the {len(OPERATIONS) + len(UNIMPLEMENTED)} operations of AWS IoT's control and data "
        "planes. The others are authenticated and answer `UnknownOperationException` (400, `… is not implemented by "
        f"Thingmint`): {', '.join(sorted(UNIMPLEMENTED))}."
    )
    return textwrap.fill(text, 120, break_on_hyphens=False, break_long_words=False)


def chosen(record: Mapping[str, Sequence[str]], before: Mapping[str, str]) -> dict[str, str]:
    """Return one test for each operation, from a record of what each test that was run has proved.

    It is the test that proved it before unless that was run and does so no more; else the first by name.
    """
    found: dict[str, str] = {}
    for name in sorted(operation.name for operation in OPERATIONS):
        proof, tests = before.get(name), [test for test, names in record.items() if name in names]
        if proof is not None and (proof not in record or proof in tests):
            found[name] = proof
        elif tests:
            found[name] = min(tests)
    return found


def main(path: str) -> None:
    """Take the proofs of a recorded run, write the page and print it."""
    text = page(chosen(json.loads(Path(path).read_text()), proofs()))
    PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1])
