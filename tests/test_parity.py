"""The page of operations says what the tests of the clients prove, and nothing else."""

import pytest
from tests.support.parity import COMPARED, LEFT_OUT, PAGE, PROOFS, chosen, notes, operations, page, proofs

from thingmint.api.wire.routes import ROUTES


def test_every_operation_that_does_something_is_proved_by_a_live_test() -> None:
    assert operations() - proofs().keys() == set()


def test_every_proof_is_a_test_that_exists() -> None:
    for operation, test in proofs().items():
        path, _, name = test.partition("::")
        text = (PROOFS.parents[2] / path).read_text()
        assert f"def {name}(" in text, operation


def test_all_that_is_compared_exists_at_aws_and_here_but_for_what_is_left_out() -> None:
    assert set(COMPARED) <= ROUTES.keys()
    assert set(COMPARED) - operations() == LEFT_OUT


def test_notes_are_about_operations_that_do_something() -> None:
    assert notes().keys() - operations() == set()


def test_the_page_is_what_would_be_written() -> None:
    assert PAGE.read_text() == page(operations(), proofs(), notes()), "make parity writes it anew"


@pytest.mark.parametrize(("before", "proof"), [({"A": "b"}, "b"), ({"A": "gone"}, "a"), ({}, "a")])
def test_a_proof_stays_while_it_is_one(before: dict[str, str], proof: str) -> None:
    assert chosen({"A": ["b", "a"], "B": []}, before) == {"A": proof}
