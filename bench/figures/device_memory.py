"""Owns the figure of what a connected, idle device costs the service in memory."""

import itertools
import resource
import time

from bench import service
from bench.children import Worker
from bench.machine import ForeignLoad, tree_pss_mb
from bench.measurement import Bound, Measurement, Skipped, Target
from bench.plan import Run

FIGURE, TITLE = "device-memory", "memory of the service for each idle connection (PSS)"
CONCURRENCY = 16
WARM_UP = 50
SPARE_DESCRIPTORS = 200
KIB = 1e6 / 1024


def measure(run: Run) -> list[Measurement | Skipped]:
    """Provision devices that leave again; then measure while they come back and stay."""
    wanted = run.plan.idle_devices + WARM_UP + SPARE_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return [Skipped(FIGURE, TITLE, f"a process may have {hard} open files here, and {wanted} are needed")]
    return [_measure(run)]


def _measure(run: Run) -> Measurement:
    count = run.plan.idle_devices
    with (
        service.running(run.directory / "device-memory", "--key-reserve", "0") as ours,
        Worker("bench.fleet_devices") as devices,
    ):
        devices.ask({"work": "prepare", "data_directory": str(ours.data_directory)})
        foreign = ForeignLoad()
        devices.ask({"work": "provision_many", "count": WARM_UP + count, "concurrency": CONCURRENCY})
        # The first connections also pay for what all share.
        devices.ask(_come_back(0, WARM_UP))
        readings = [_settled_mb(ours.server.pid, run.plan.settle_s)]
        for quarter in range(4):
            first, last = (WARM_UP + count * each // 4 for each in (quarter, quarter + 1))
            devices.ask(_come_back(first, last))
            readings.append(_settled_mb(ours.server.pid, run.plan.settle_s))
        share = foreign.share()
    rounds = tuple((after - before) * KIB / (count / 4) for before, after in itertools.pairwise(readings))
    return Measurement(
        figure=FIGURE,
        title=TITLE,
        value=(readings[-1] - readings[0]) * KIB / count,
        unit="KiB",
        target=Target(Bound.AT_MOST, 40.0),
        rounds=rounds,
        n=f"{count} devices, read after each quarter",
        sides="each device with its own certificate, its policy compiled, and one subscription at QoS 1",
        parts={"idle_mb": readings[0], "full_mb": readings[-1]},
        foreign_share=share,
    )


def _settled_mb(pid: int, settle_s: float) -> float:
    time.sleep(settle_s)
    return tree_pss_mb(pid)


def _come_back(first: int, last: int) -> dict[str, object]:
    return {"work": "come_back", "first": first, "last": last, "concurrency": CONCURRENCY}
