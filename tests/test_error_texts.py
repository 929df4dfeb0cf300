"""No text about an error is empty, whatever the error says: errors of a driver or of the system often say nothing."""

import ast
import asyncio
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from thingmint.core.errors import ServiceUnavailable
from thingmint.host.words import in_words, reason_of

SOURCE = Path(__file__).parents[1] / "src" / "thingmint"
WORDED = {"in_words", "reason_of"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "timeout error"),
        (asyncio.CancelledError(), "cancelled error"),
        (ConnectionResetError(), "connection reset error"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.ENOENT, "No such file or directory", "/a"), "/a: No such file or directory"),
        (ValueError("  "), "value error"),
        (ServiceUnavailable("The database cannot be reached"), "The database cannot be reached"),
    ],
    ids=repr,
)
def test_an_error_is_told_in_words(error: BaseException, words: str) -> None:
    assert in_words(error) == words


def test_a_message_that_names_the_file_need_not_name_it_twice() -> None:
    assert reason_of(OSError(errno.ENOENT, "No such file or directory", "/a")) == "No such file or directory"


def bare(handler: ast.ExceptHandler) -> Iterator[int]:
    """Yield the lines at which the handler's error is told by whatever it says itself."""
    name = handler.name

    def is_it(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    for node in ast.walk(handler):
        match node:
            case ast.FormattedValue(value=value, conversion=-1 | 115) if is_it(value):
                # As it is, or with !s.
                yield node.lineno
            case ast.Attribute(value=value, attr="strerror") if is_it(value):
                yield node.lineno
            case ast.Call(func=ast.Name(id="str"), args=[argument]) if is_it(argument):
                yield node.lineno
            case ast.Call(
                func=ast.Attribute(attr="debug" | "info" | "warning" | "error" | "exception" | "critical"),
                args=arguments,
            ):
                yield from (argument.lineno for argument in arguments if is_it(argument))


def test_no_text_takes_an_error_at_its_own_words() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and node.name is not None
        for line in bare(node)
    ]
    assert found == []
