"""Owns how errors of Python and of the system are told to people: in words, and never with an empty text."""

import re


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
