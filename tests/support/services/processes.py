"""Owns what the system tells of a running process: the time it computes, the memory it takes."""

import os
import time
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def computed_seconds(pid: int) -> float:
    """Return how long the process itself has computed since its start, its children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def busy_seconds(pid: int, *, over: float) -> float:
    """Return how long the process computes while this many seconds pass."""
    before = computed_seconds(pid)
    time.sleep(over)  # the passing of time is what is measured
    return computed_seconds(pid) - before


def peak_memory_bytes(pid: int) -> int:
    """Return the most memory that the process has had resident at one time."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the system does not tell the peak of resident memory")


def children_of(pid: int, word: str) -> list[int]:
    """Return the process's children that have not ended and whose command line has the word."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z" and word in command:
            found.append(int(stat.parent.name))
    return found
