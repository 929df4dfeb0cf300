"""Owns the system's limit on open files and connections of this process, and its limit on core dumps."""

import contextlib

from thingmint.host.platform_modules import resource


def most_open_files() -> int | None:
    """Return the limit on open files in force; None if there is none."""
    if resource is None:
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else int(soft)


def allow_open_files(wanted: int) -> int:
    """Raise the limit as far as the system permits, at most to ``wanted``; return the limit in force afterwards.

    The result is -1 if there is no limit.
    """
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(int(hard), wanted)
    if resource.RLIM_INFINITY != soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return int(soft)


def turn_core_dumps_off() -> bool:
    """Prevent core dumps, which would write the memory of this process to a file; return whether that was possible."""
    if resource is None:
        return False
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return True
    return False
