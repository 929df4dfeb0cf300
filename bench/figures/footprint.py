"""Owns the figures of idle memory and of the time from exec to the first answer."""

import statistics
import time
from contextlib import closing
from pathlib import Path

from bench import service
from bench.certificates import csr_pems
from bench.figures.latency import wait_for_full_reserve
from bench.load import Caller, LoadGenerator
from bench.machine import ForeignLoad, process_tree, tree_pss_mb
from bench.measurement import Bound, Measurement, Skipped, Target
from bench.plan import CLIENTS, Run
from bench.service import csr_request
from bench.wire import Request

DEFAULT_RESERVE = 64
REQUESTS = 200
POLL_S = 0.002
DESCRIBE_ENDPOINT = Request("GET", "/endpoint", "endpointType=iot%3AData-ATS")


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the memory of a service that has served and idles, then the starts on its data directory."""
    return [_memory(run), _start(run)]


def _memory(run: Run) -> Measurement:
    with (
        service.running(run.directory / "footprint") as ours,
        LoadGenerator() as generator,
        closing(Caller(ours.endpoint)) as caller,
    ):
        generator.load(ours.endpoint, [csr_request(pem) for pem in csr_pems()], clients=CLIENTS, count=REQUESTS)
        wait_for_full_reserve(caller, DEFAULT_RESERVE)
        time.sleep(run.plan.settle_s)
        foreign = ForeignLoad()
        readings = tuple(tree_pss_mb(ours.server.pid) for _ in range(3))
        processes = len(process_tree(ours.server.pid))
        share = foreign.share()
    return Measurement(
        figure="idle-memory",
        title="idle memory (PSS, workers included)",
        value=statistics.median(readings),
        unit="MB",
        target=Target(Bound.AT_MOST, 100.0),
        rounds=readings,
        n=f"{len(readings)} readings of {processes} processes",
        sides=f"default settings, reserve full, after {REQUESTS} requests of {CLIENTS} clients",
        parts={"processes": processes},
        foreign_share=share,
    )


def _start(run: Run) -> Measurement:
    foreign = ForeignLoad()
    taken = tuple(_time_to_first_answer(run.directory / "footprint") for _ in range(run.plan.starts))
    return Measurement(
        figure="start",
        title="exec → first served request, existing data directory",
        value=statistics.median(taken),
        unit="s",
        target=Target(Bound.AT_MOST, 0.8),
        rounds=taken,
        n=f"{len(taken)} starts",
        sides="default settings; the first request is a signed DescribeEndpoint over a new TLS connection",
        parts={"slowest_s": max(taken)},
        foreign_share=foreign.share(),
    )


def _time_to_first_answer(data_directory: Path) -> float:
    server = service.start(data_directory)
    try:
        server.wait_until((data_directory / "endpoints.json").exists, interval_s=POLL_S)
        with closing(Caller(service.endpoint_of(data_directory))) as caller:
            caller.text(DESCRIBE_ENDPOINT)
        return time.perf_counter() - server.started_at
    finally:
        server.stop()
