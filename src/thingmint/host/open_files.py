"""Owns how many files and connections this process may have open, where the system limits that."""

import contextlib

from thingmint.host.platform_modules import resource


def most_open_files() -> int | None:
    """Return the limit in force; None if there is none."""
    if resource is None:
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else int(soft)


def allow_open_files(wanted: int) -> int:
    """Raise the limit as far as the system lets it, up to what is wanted; return what is in force then.

    That is -1 where there is no limit.
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
    """Let no crash leave the memory of this process in a file; return whether that was possible."""
    if resource is None:
        return False
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return True
    return False
