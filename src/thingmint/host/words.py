"""Owns the wording of Python's and the system's errors for people: always a text, and never an empty one."""

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
    """Return the error's text and the file that it is about, or the name of its class in words if its text is empty."""
    reason = reason_of(error)
    has_file = isinstance(error, OSError) and error.strerror and error.filename is not None
    return f"{error.filename}: {reason}" if has_file else reason  # type: ignore[attr-defined]  # an OSError, as checked


def reason_of(error: BaseException) -> str:
    """Return the error's text without its file, for messages that name the file themselves."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    # "TimeoutError" becomes "timeout error".
    return said.strip() or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def misfit(error: BaseException) -> str:
    """Return what is wrong in a settings file, in TOML's terms, from the message of the decoder."""
    said = reason_of(error)
    if not (found := _MISFIT.fullmatch(said)):
        return said
    wanted = " or ".join(_KINDS.get(kind, kind) for kind in found["wanted"].split(" | ") if kind != "null")
    place, of_all, _ = found["place"].partition("[...]")
    return (
        f"{'a value in ' if of_all else ''}{place} must be {wanted}, not {_KINDS.get(found['given'], found['given'])}"
    )
