"""Owns the measures of the operating system that keep secrets in memory from leaving it. Handles no secret.

Measures that a platform does not offer are skipped silently; the returned record names those that were applied. Memory
is not locked (mlockall): that would make every reserved buffer resident, and need more than an ordinary user may lock.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from thingmint.host.open_files import allow_open_files, turn_core_dumps_off

_PR_SET_DUMPABLE = 4
_M_PERTURB = -6
# Freed memory is overwritten with this pattern; any value except zero is possible.
_PATTERN = 0x5A
_MOST_DESCRIPTORS = 65_536

# Set for processes that make keys before they start. By default glibc does not overwrite memory in its thread caches,
# or memory that CPython's allocator keeps. With these two settings and the pattern, only the key still in use was
# readable in the memory of a worker that had delivered 30 keys; with the pattern alone 14 of the 30 keys were readable.
WIPING_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0", "PYTHONMALLOC": "malloc"}
)


# Key workers import this module, and not the library of which other values are structs.
class Hardening(NamedTuple):
    """The measures that were applied to this process."""

    core_dumps_off: bool
    not_dumpable: bool
    freed_memory_wiped: bool
    descriptors: int


def harden_process(*, wipe_freed_memory: bool = False) -> Hardening:
    """Prevent core dumps and debuggers, keep new files private, allow many connections; wipe freed memory if asked.

    Wiping is for processes that make keys. It costs no measurable time, but it writes to new memory as well as to freed
    memory. In the service each TLS connection would take 291 kB instead of 24 kB, most of it an unused buffer.
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
    """Let glibc overwrite memory when it is freed, so that keys do not stay readable there."""
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_M_PERTURB, _PATTERN) == 1)
    return False
