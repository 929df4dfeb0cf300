"""Owns what the operating system can do to keep secrets in memory from leaving it; knows no secret itself.

What a platform does not offer is left out silently; the returned record says what was applied. Memory is not locked
(mlockall): it would make every reserved buffer resident, and more of it than an ordinary user may lock.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from thingmint.host.open_files import allow_open_files, turn_core_dumps_off

_PR_SET_DUMPABLE = 4
_M_PERTURB = -6
# Any pattern but zero: what is freed is overwritten by it.
_PATTERN = 0x5A
_MOST_DESCRIPTORS = 65_536

# For processes that make keys, to be set before they start. glibc overwrites neither what goes to its thread caches nor
# what CPython's own allocator keeps: with these two and the pattern, of 30 keys that a worker gave away only the one
# still in use was readable in its memory, against 14 of 30 with the pattern alone.
WIPING_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0", "PYTHONMALLOC": "malloc"}
)


@dataclass(frozen=True, slots=True)
class Hardening:
    """What was applied to this process."""

    core_dumps_off: bool
    not_dumpable: bool
    freed_memory_wiped: bool
    descriptors: int


def harden_process(*, wipe_freed_memory: bool = False) -> Hardening:
    """Turn core dumps and debuggers away, keep new files private, allow many connections; wipe freed memory if asked.

    Wiping is for processes that make keys. It costs no measurable time, but writes to new memory as well as to freed
    memory: each TLS connection of the service would take 291 kB instead of 24, most of it a buffer never used.
    """
    os.umask(0o077)
    wiped = wipe_freed_memory and _wipe_freed_memory()
    return Hardening(turn_core_dumps_off(), _not_dumpable(), wiped, allow_open_files(_MOST_DESCRIPTORS))


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
