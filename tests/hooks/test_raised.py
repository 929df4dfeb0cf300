"""What the log says of exceptions in operators' code, and what it never says."""

import json
import traceback
from collections.abc import Callable, Mapping

import pytest

from thingmint.hooks.raised import exception_text

SECRET = 'p4ss\n"word" ünd'
QUESTION: Mapping[str, object] = {
    "claimCertificateId": "c1" * 32,
    "parameters": {"WifiPassword": SECRET, "Short": "7", "Serial": "sn-1", "Long": "sn-1-and-more"},
}


def error_of(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except Exception as error:  # noqa: BLE001  whatever it is
        return error
    raise AssertionError("nothing was raised")


def fail(message: object) -> Callable[[], object]:
    def raising() -> object:
        raise ValueError(message)

    return raising


@pytest.mark.parametrize("form", [SECRET, repr(SECRET), json.dumps(SECRET), {"password": SECRET}, [SECRET]])
def test_no_value_of_the_question_is_told_in_any_form(form: object) -> None:
    said = exception_text(error_of(fail(form)), QUESTION)
    assert "p4ss" not in said
    assert "<WifiPassword>" in said


def test_the_longer_value_is_named_where_one_is_a_part_of_another() -> None:
    said = exception_text(error_of(fail("sn-1-and-more and sn-1 and 7")), QUESTION)
    assert said.startswith("ValueError: <Long> and <Serial> and 7 (")


def test_the_place_is_the_last_line_of_the_operators_code() -> None:
    error = error_of(lambda: json.loads("{"))
    assert "json" in traceback.extract_tb(error.__traceback__)[-1].filename
    line = test_the_place_is_the_last_line_of_the_operators_code.__code__.co_firstlineno + 1
    assert exception_text(error, QUESTION).endswith(f"({__file__}, line {line})")


def test_an_exception_without_words_or_place_is_its_type() -> None:
    assert exception_text(KeyError(), {}) == "KeyError"
    assert exception_text(KeyError("Serial"), {}) == "KeyError: 'Serial'"


def test_an_exception_whose_text_cannot_be_had_is_told_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    assert exception_text(Broken(), {}) == "Broken: its text cannot be had"


def test_a_message_is_one_line_of_bounded_length() -> None:
    said = exception_text(ValueError("a\nb\x1b[31m" + "x" * 1000), {})
    assert said.startswith("ValueError: a b [31mx")
    assert len(said) < 330
