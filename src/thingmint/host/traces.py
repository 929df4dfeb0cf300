"""Owns the form of an unexpected error in the log: where it was raised, without its text."""

import traceback

_TRACED_CAUSES = 5


def trace_of(error: BaseException) -> str:
    """Return where the error and its causes were raised: types and source lines, without texts or values."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < _TRACED_CAUSES:
        parts.append(f"{type(cause).__qualname__}\n{''.join(traceback.format_tb(cause.__traceback__))}")
        cause = cause.__cause__ or cause.__context__
    return "caused by ".join(parts)
