"""Owns the texts of Python's and the system's errors: for people, never empty; for the log, where they were raised."""

import re
import traceback

_TRACED_CAUSES = 5
# Python writes OpenSSL's name of an error before its text, and its own source line behind it.
_OF_OPENSSL = re.compile(r"^\[[A-Z0-9]+: \w+\] | \(_ssl\.c:\d+\)$")


def in_words(error: BaseException) -> str:
    """Return the error's text and the file that it is about, or the name of its class in words if its text is empty."""
    reason = reason_of(error)
    has_file = isinstance(error, OSError) and error.strerror and error.filename is not None
    return f"{error.filename}: {reason}" if has_file else reason  # type: ignore[attr-defined]  # an OSError, as checked


def reason_of(error: BaseException) -> str:
    """Return the error's text without its file, for messages that name the file themselves."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    said = _OF_OPENSSL.sub("", said)
    # "TimeoutError" becomes "timeout error".
    return said.strip() or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def trace_of(error: BaseException) -> str:
    """Return where the error and its causes were raised: types and source lines, without texts or values."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < _TRACED_CAUSES:
        parts.append(f"{type(cause).__qualname__}\n{''.join(traceback.format_tb(cause.__traceback__))}")
        cause = cause.__cause__ or cause.__context__
    return "caused by ".join(parts)
