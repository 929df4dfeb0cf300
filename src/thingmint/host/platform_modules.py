"""Owns the modules of the standard library that some platforms lack; each is None if it is missing."""

import importlib
from typing import Any


def _found(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


fcntl = _found("fcntl")
"""Locks of files, on POSIX systems."""
msvcrt = _found("msvcrt")
"""Locks of files, on Windows."""
pwd = _found("pwd")
"""The users of a POSIX system."""
resource = _found("resource")
"""The limits of a process, on POSIX systems."""
