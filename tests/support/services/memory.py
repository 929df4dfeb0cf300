"""Owns the search of other processes' memory, as root or a debugger could read it."""

import contextlib
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.machine.required import require


def writable_memory(pid: int) -> Iterator[bytes]:
    """Yield the writable regions of a process's memory; skip the test where they may not be read."""
    with contextlib.ExitStack() as stack:
        memory = None
        with contextlib.suppress(PermissionError):
            memory = stack.enter_context(Path(f"/proc/{pid}/mem").open("rb", buffering=0))
        require(memory, "this system does not let a process read another one's memory; root may")
        assert memory is not None
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line):
                start, end = (int(number, 16) for number in found.groups())
                yield _region(memory, start, end)


def _region(memory: io.RawIOBase, start: int, end: int) -> bytes:
    content = bytearray()
    # A region may go between the list and the look, and a read may stop early.
    with contextlib.suppress(OSError):
        memory.seek(start)
        while len(content) < end - start and (piece := memory.read(end - start - len(content))):
            content += piece
    return bytes(content)


def found_in_memory(pid: int, needles: Iterable[bytes]) -> set[bytes]:
    """Return those of the needles that the memory of the process holds."""
    wanted = set(needles)
    found: set[bytes] = set()
    for region in writable_memory(pid):
        found |= {needle for needle in wanted - found if needle in region}
        if found == wanted:
            break
    return found


def processes_of(pid: int) -> list[int]:
    """Return the process and all that descend from it."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += map(int, (task / "children").read_text().split())
    return [pid, *(each for child in children for each in processes_of(child))]
