"""Owns the text of an exception in an operator's code for the log: type, message and place, without a device's data."""

import json
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

_LONGEST_MESSAGE = 300
# A shorter value is not secret, and messages contain it by chance.
_SHORTEST_VALUE = 3
# Code that is not the operator's: the standard library, installed packages, and the service.
_LIBRARIES = frozenset(
    {
        Path(__file__).resolve().parents[1],
        *(Path(path).resolve() for name, path in sysconfig.get_paths().items() if name.endswith(("stdlib", "lib"))),
    }
)


def exception_text(error: BaseException, question: Mapping[str, object]) -> str:
    """Return the exception in one line: type, message, file and line of the operator's code.

    Values of the question are replaced by their names: a device's parameters may be secret, and messages such as those
    of ``int`` quote them. The message is cut after 300 characters.
    """
    message = _masked(_words(error), question)
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}…"
    words = f"{type(error).__name__}: {message}" if message else type(error).__name__
    place = _place(error)
    return f"{words} ({place})" if place else words


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  the operator's code, too
        return "its text cannot be had"


def _place(error: BaseException) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _LIBRARIES.isdisjoint(Path(frame.filename).resolve().parents)]
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else None


def _masked(message: str, question: Mapping[str, object]) -> str:
    # Longest first, because one value may be a part of another.
    for value, name in sorted(_values("", question), key=lambda each: -len(each[0])):
        for form in (value, repr(value)[1:-1], json.dumps(value)[1:-1]):
            message = message.replace(form, f"<{name}>")
    return "".join(character if character.isprintable() else " " for character in message)


def _values(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _values(str(key), member)
    elif isinstance(value, str) and len(value) >= _SHORTEST_VALUE:
        yield value, name
