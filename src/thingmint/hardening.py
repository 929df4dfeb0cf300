"""Owns what the operating system can do to keep secrets in memory from leaving it; knows no secret itself.

What a platform does not offer is left out silently; the returned record says what was applied.
"""

import contextlib
import ctypes
import os
import resource
import sys
from dataclasses import dataclass

_PR_SET_DUMPABLE = 4
_M_PERTURB = -6
# Any pattern but zero: what is freed is overwritten by it.
_PATTERN = 0x5A
_MOST_DESCRIPTORS = 65_536


@dataclass(frozen=True, slots=True)
class Hardening:
    """What was applied to this process."""

    core_dumps_off: bool
    not_dumpable: bool
    freed_memory_wiped: bool
    descriptors: int


def harden_process() -> Hardening:
    """Turn core dumps and debuggers away, wipe freed memory, keep new files private, and allow many connections."""
    os.umask(0o077)
    return Hardening(_core_dumps_off(), _not_dumpable(), _wipe_freed_memory(), _raise_descriptors())


def _core_dumps_off() -> bool:
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return True
    return False


def _not_dumpable() -> bool:
    """Keep other processes of the same user from reading this one's memory."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
    return False


def _wipe_freed_memory() -> bool:
    """Let glibc overwrite memory as it is freed, so that keys do not stay readable there."""
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_M_PERTURB, _PATTERN) == 1)
    return False


def _raise_descriptors() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft
