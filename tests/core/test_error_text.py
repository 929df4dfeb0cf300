"""Errors as text: for people never empty, for the log without the errors' own texts."""

import asyncio
import errno
import ssl

import pytest

from thingmint.core.error_text import in_words, reason_of, trace_of
from thingmint.core.errors import ServiceUnavailable


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "timeout error"),
        (asyncio.CancelledError(), "cancelled error"),
        (ConnectionResetError(), "connection reset error"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.ENOENT, "No such file or directory", "/a"), "/a: No such file or directory"),
        (ValueError("  "), "value error"),
        (
            ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)"),
            "tlsv13 alert certificate required",
        ),
        (ServiceUnavailable("The database cannot be reached"), "The database cannot be reached"),
    ],
    ids=repr,
)
def test_an_error_is_told_in_words(error: BaseException, words: str) -> None:
    assert in_words(error) == words


def test_a_message_that_names_the_file_need_not_name_it_twice() -> None:
    assert reason_of(OSError(errno.ENOENT, "No such file or directory", "/a")) == "No such file or directory"


def fail(causes: int, text: str) -> None:
    """Raise an error with this number of causes, each of which has the text."""
    if not causes:
        raise ValueError(text)
    try:
        fail(causes - 1, text)
    except ValueError as cause:
        raise ValueError(text) from cause


@pytest.mark.parametrize(("causes", "shown"), [(0, 1), (2, 3), (9, 5)])
def test_trace_has_the_places_of_an_error_and_of_few_causes_without_their_texts(causes: int, shown: int) -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        fail(causes, "secret")
    trace = trace_of(caught.value)
    assert trace.count("ValueError\n") == shown
    assert trace.count("in fail") >= shown
    assert "secret" not in trace.replace('"secret"', "")
