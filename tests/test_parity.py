"""The page of operations says what the tests of the clients prove, and nothing else."""

from pathlib import Path

import pytest
from tests.support.clients.parity import PAGE, chosen, page, proofs

from thingmint.api.service import OPERATIONS

_ROOT = Path(__file__).parents[1]


def test_every_operation_that_does_something_is_proved_by_a_live_test() -> None:
    assert {operation.name for operation in OPERATIONS} == proofs().keys()


def test_every_proof_is_a_test_that_exists() -> None:
    for operation, test in proofs().items():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (_ROOT / path).read_text(), operation


def test_the_page_is_what_would_be_written() -> None:
    assert PAGE.read_text() == page(proofs()), "make parity writes it anew"


@pytest.mark.parametrize(
    ("record", "before", "proof"),
    [
        ({"a": ["Publish"], "b": ["Publish"]}, "b", "b"),
        ({"a": ["Publish"], "b": []}, "b", "a"),
        ({"a": ["Publish"]}, "not run", "not run"),
        ({"b": ["Publish"], "a": ["Publish", "CreateThing"]}, None, "a"),
        ({"a": []}, "a", None),
    ],
)
def test_a_proof_stays_while_it_is_one(record: dict[str, list[str]], before: str | None, proof: str | None) -> None:
    assert chosen(record, {} if before is None else {"Publish": before}).get("Publish") == proof
