"""Owns the figure of a single caller who is served from the reserve."""

import statistics
import time
from contextlib import closing

from bench import service
from bench.children import Worker
from bench.load import Caller, LoadGenerator
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, percentile
from bench.plan import Run
from bench.service import CREATE_KEYS

RESERVE = 64
KEYS_A_ROUND = 24
FULL_WITHIN_S = 120.0


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure bursts of one client from a full reserve in turns with bare key generation."""
    latencies: list[float] = []
    taken: list[float] = []
    rounds: list[float] = []
    with (
        service.running(run.directory / "latency", "--key-reserve", str(RESERVE)) as ours,
        LoadGenerator() as generator,
        Worker("bench.bare") as bare,
        closing(Caller(ours.endpoint)) as caller,
    ):
        foreign = ForeignLoad()
        for _ in range(run.plan.latency_rounds):
            wait_for_full_reserve(caller, RESERVE)
            burst = generator.load(ours.endpoint, [CREATE_KEYS], clients=1, count=run.plan.latency_burst)
            # The reserve is full again before bare generation starts, or the two would share the cores.
            wait_for_full_reserve(caller, RESERVE)
            keys = bare.ask({"work": "keygen", "seconds": 0, "count": KEYS_A_ROUND})["taken_ms"]
            latencies += burst.latencies_ms
            taken += keys
            rounds.append(burst.p50_ms / statistics.fmean(keys))
        share = foreign.share()
    p50, mean = percentile(latencies, 0.5), statistics.fmean(taken)
    return [
        Measurement(
            figure="key-latency",
            title="keys from the full reserve, p50 ÷ mean of one bare generation",
            value=p50 / mean,
            unit="×",
            target=Target(Bound.AT_MOST, 0.10),
            rounds=tuple(rounds),
            n=f"{len(rounds)} rounds, {len(latencies)} requests of 1 client, {len(taken)} bare keys",
            sides=(
                "service: HTTPS keep-alive, SigV4, committed to disk, refilling its reserve at the same time; "
                "bare: rsa.generate_private_key in one process"
            ),
            parts={
                "p50_ms": p50,
                "p99_ms": percentile(latencies, 0.99),
                "bare_mean_ms": mean,
            },
            foreign_share=share,
        )
    ]


def wait_for_full_reserve(caller: Caller, size: int) -> None:
    """Return once the service holds the whole reserve; raise RuntimeError if that takes too long."""
    deadline = time.perf_counter() + FULL_WITHIN_S
    while service.reserve_level(caller) < size:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"the reserve did not fill within {FULL_WITHIN_S:.0f} s")
        time.sleep(0.05)
