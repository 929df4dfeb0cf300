"""Owns the comparison of a broker behind the gateway with the broker alone: rounds of both, and their figures."""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from bench.children import Worker
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Target, ratios
from bench.plan import CLIENTS, Run, rotated

GATEWAY = "gateway"
BATCH = 20
PAYLOAD_BYTES = 128
WARM_UP_S = 0.5

Job = dict[str, Any]
Loads = dict[str, list[dict[str, Any]]]


def job_of(port: int) -> Job:
    """Return the load on a port, without the identity or login of its clients."""
    return {"port": port, "clients": CLIENTS, "batch": BATCH, "payload_bytes": PAYLOAD_BYTES}


def loads_of(
    run: Run, devices: Worker, jobs: Mapping[str, Job], cpu_seconds: Callable[[], tuple[float, float]]
) -> tuple[Loads, float]:
    """Return the results of all rounds by side, and the share of other programs' load.

    ``cpu_seconds`` returns the processor time that the gateway and the broker have used so far.
    """
    loads: Loads = {side: [] for side in jobs}
    for job in jobs.values():
        devices.ask(job | {"seconds": WARM_UP_S})
    foreign = ForeignLoad()
    for round_number in range(run.plan.relay_rounds):
        for side in rotated(list(jobs), round_number):
            before = cpu_seconds()
            load = devices.ask(jobs[side] | {"seconds": run.plan.relay_slice_s})
            spent = [after - earlier for after, earlier in zip(cpu_seconds(), before, strict=True)]
            load["gateway_us"], load["broker_us"] = (each / load["count"] * 1e6 for each in spent)
            loads[side].append(load)
    return loads, foreign.share()


def measurement_of(
    loads: Loads,
    direct: str,
    *,
    figure: str,
    title: str,
    sides: str,
    foreign_share: float,
    parts: Mapping[str, float] | None = None,
    at_least: float = 0.25,
) -> Measurement:
    """Return the ratio of the gateway's rate to that of the side ``direct``, with the processor time of both."""
    rates = {side: [load["count"] / load["seconds"] for load in each] for side, each in loads.items()}
    rounds = ratios(rates[GATEWAY], rates[direct])
    counts = {side: sum(load["count"] for load in each) for side, each in loads.items()}
    return Measurement(
        figure=figure,
        title=title,
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, at_least),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {counts[GATEWAY]} and {counts[direct]} messages, {CLIENTS} clients",
        sides=sides,
        parts={
            "gateway_per_s": statistics.median(rates[GATEWAY]),
            f"{direct}_per_s": statistics.median(rates[direct]),
            "gateway_us_per_message": median_of(loads[GATEWAY], "gateway_us"),
            "broker_us_per_message_behind_gateway": median_of(loads[GATEWAY], "broker_us"),
            "broker_us_per_message_alone": median_of(loads[direct], "broker_us"),
            **(parts or {}),
        },
        foreign_share=foreign_share,
    )


def median_of(loads: list[dict[str, Any]], name: str) -> float:
    """Return the median of a part over the rounds."""
    return float(statistics.median(load[name] for load in loads))
