"""Owns what the machine is and who else used it during a measurement; reads /proc and changes nothing."""

import os
import platform
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cryptography.hazmat.backends.openssl import backend

PROC = Path("/proc")
QUIET_FOR_S = 3.0
QUIET_SHARE = 0.03
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader must know of the machine to judge the figures."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    cryptography: str
    openssl: str
    file_system: str


def this_machine(directory: Path) -> Machine:
    """Describe the machine that this process runs on, and the file system of the directory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(
        cpu=_cpu_model(),
        cores=len(cores()),
        memory_gib=round(memory, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        cryptography=metadata.version("cryptography"),
        openssl=backend.openssl_version_text(),
        file_system=_file_system(directory),
    )


def cores() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def _cpu_model() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    kinds = {}
    for line in (PROC / "mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split()
        kinds[Path(mount_point)] = kind
    resolved = directory.resolve()
    return next(kinds[place] for place in (resolved, *resolved.parents) if place in kinds)


def process_tree(root: int) -> list[int]:
    """Return the process and all of its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, []))
    return tree


def tree_cpu_s(root: int) -> float:
    """Return the processor time of the process tree, its ended and awaited members included."""
    ticks = 0
    for pid in process_tree(root):
        if fields := _stat_fields(pid):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_S


def tree_pss_mb(root: int) -> float:
    """Return the proportional set size of the process tree in megabytes (10^6 bytes)."""
    total_kib = 0
    for pid in process_tree(root):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kib += int(line.split()[1])
    return total_kib * 1024 / 1e6


def _stat_fields(pid: int) -> list[str]:
    # Fields from "state" on; the command name before them may hold spaces and parentheses (proc(5)).
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class ForeignLoad:
    """Measures which share of the machine processes outside of the benchmark took."""

    def __init__(self) -> None:
        self._began = (time.perf_counter(), _busy_s(), tree_cpu_s(os.getpid()))

    def share(self) -> float:
        """Return the share of all cores' time since the beginning that others used, from 0 to 1."""
        began_at, busy_before, own_before = self._began
        elapsed = time.perf_counter() - began_at
        foreign = (_busy_s() - busy_before) - (tree_cpu_s(os.getpid()) - own_before)
        return max(0.0, foreign / (elapsed * (os.cpu_count() or 1)))


def wait_for_quiet(patience_s: float) -> None:
    """Return when others leave the machine alone for a moment, or when the patience is at its end."""
    deadline = time.perf_counter() + patience_s
    while time.perf_counter() < deadline:
        load = ForeignLoad()
        time.sleep(QUIET_FOR_S)
        if load.share() < QUIET_SHARE:
            return


def _busy_s() -> float:
    # user, nice, system, irq, softirq, steal: everything but idle and iowait (proc(5)).
    fields = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields[index] for index in (0, 1, 2, 5, 6, 7)) / TICKS_PER_S
