"""Owns the folder for files of tests: in memory if the machine has room there, since tests sync files all the time."""

import os
import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")
_NEEDED_OCTETS = 6 * 2**30


def quick_folder() -> str | None:
    """Return a folder in memory for temporary files; None if there is none in which programs may run, or too small."""
    try:
        flags = os.statvfs(_MEMORY).f_flag
        free = shutil.disk_usage(_MEMORY).free
    except OSError:
        return None
    if free < _NEEDED_OCTETS or flags & os.ST_NOEXEC or not os.access(_MEMORY, os.W_OK):
        return None
    return str(_MEMORY)
