"""Owns how errors of Python and of the system are told to people: in words, and never with an empty text."""

import re
from collections.abc import Mapping

_MISFIT = re.compile(r"Expected `(?P<wanted>.+)`, got `(?P<given>.+)` - at `\$\.?(?P<place>.*)`")
_KINDS: Mapping[str, str] = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
}


def in_words(error: BaseException) -> str:
    """Return what the error says and the file that it is about, or the words of its class where it says nothing."""
    reason = reason_of(error)
    has_file = isinstance(error, OSError) and error.strerror and error.filename is not None
    return f"{error.filename}: {reason}" if has_file else reason  # type: ignore[attr-defined]  # an OSError, as checked


def reason_of(error: BaseException) -> str:
    """Return what the error says without its file, for messages that name the file themselves."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    # "TimeoutError" becomes "timeout error".
    return said.strip() or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def misfit(error: BaseException) -> str:
    """Return in the words of a settings file what does not fit in it, from the message of its decoder."""
    said = reason_of(error)
    if not (found := _MISFIT.fullmatch(said)):
        return said
    wanted = " or ".join(_KINDS.get(kind, kind) for kind in found["wanted"].split(" | ") if kind != "null")
    place, of_all, _ = found["place"].partition("[...]")
    return (
        f"{'a value in ' if of_all else ''}{place} must be {wanted}, not {_KINDS.get(found['given'], found['given'])}"
    )
