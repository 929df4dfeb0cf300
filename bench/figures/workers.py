"""Owns the figures of one machine on PostgreSQL: two workers against one, and PostgreSQL against SQLite."""

import os
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.support.databases.postgresql import find_programs, new_cluster, new_database

from bench import service
from bench.certificates import csr_pems
from bench.load import Load, LoadGenerator
from bench.machine import ForeignLoad, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import CLIENTS, Run, rotated
from bench.service import Service, csr_request

WORKERS, ENGINES = "csr-workers", "csr-postgresql"
TITLES = {
    WORKERS: "CSRs, two workers ÷ one, PostgreSQL",
    ENGINES: "CSRs, PostgreSQL ÷ SQLite, one node",
}
ONE, TWO, SQLITE = "one", "two", "sqlite"


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure three services in turns; client, service and PostgreSQL are on this machine."""
    if find_programs() is None:
        return [Skipped(figure, title, "PostgreSQL is not installed") for figure, title in TITLES.items()]
    loads: dict[str, list[_Slice]] = {ONE: [], TWO: [], SQLITE: []}
    requests = [csr_request(pem) for pem in csr_pems()]
    with _services(run) as sides, LoadGenerator() as generator:
        for side in sides.values():
            generator.load(side.endpoint, requests, clients=CLIENTS, seconds=1.0)  # warms all up
        foreign = ForeignLoad()
        for round_number in range(run.plan.csr_rounds):
            for name in rotated(list(sides), round_number):
                # The kernel spreads connections over the workers when they are opened: each slice opens its own.
                slice_s = run.plan.csr_slice_s
                side, own, everything = sides[name], tree_cpu_s(sides[name].server.pid), tree_cpu_s(os.getpid())
                load = generator.load(side.endpoint, requests, clients=CLIENTS, seconds=slice_s)
                used = tree_cpu_s(side.server.pid) - own, tree_cpu_s(os.getpid()) - everything
                loads[name].append(_Slice(load, *used))
        share = foreign.share()
    return [_figure(WORKERS, loads, TWO, ONE, 1.25, share), _figure(ENGINES, loads, ONE, SQLITE, 0.7, share)]


@dataclass(frozen=True, slots=True)
class _Slice:
    """What came of a slice of load, and the processor time of the service and of all processes of the benchmark."""

    load: Load
    service_s: float
    all_s: float

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.load.per_s


@contextmanager
def _services(run: Run) -> Iterator[Mapping[str, Service]]:
    with ExitStack() as stack:
        cluster = stack.enter_context(contextmanager(new_cluster)(durable=True))
        sides = {}
        for name, workers in ((ONE, 1), (TWO, 2)):
            url = stack.enter_context(contextmanager(new_database)(cluster.url))
            options = ("--database-url", url, "--workers", str(workers), *_OPTIONS)
            sides[name] = stack.enter_context(service.running(run.directory / f"workers-{name}", *options))
        sides[SQLITE] = stack.enter_context(service.running(run.directory / "workers-sqlite", *_OPTIONS))
        yield sides


_OPTIONS = ("--key-reserve", "0", "--mqtt", "127.0.0.1:0")


def _figure(
    figure: str, loads: Mapping[str, list[_Slice]], mine: str, theirs: str, bound: float, share: float
) -> Measurement:
    rounds = ratios([load.per_s for load in loads[mine]], [load.per_s for load in loads[theirs]])
    return Measurement(
        figure=figure,
        title=TITLES[figure],
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, bound),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {sum(each.load.count for each in loads[mine])} CSRs, {CLIENTS} clients",
        sides="the service, its clients and PostgreSQL (fsync) share the cores of this machine",
        parts={**_parts(mine, loads[mine]), **_parts(theirs, loads[theirs])},
        foreign_share=share,
    )


def _parts(name: str, slices: list[_Slice]) -> dict[str, float]:
    """Return the rate, and the processor time of a CSR: in the service, its clients, and everywhere."""
    return {
        f"{name}_per_s": statistics.median(each.per_s for each in slices),
        f"{name}_service_us": statistics.median(each.service_s * 1e6 / each.load.count for each in slices),
        f"{name}_client_us": statistics.median(each.load.client_ms * 1000 for each in slices),
        f"{name}_all_us": statistics.median(each.all_s * 1e6 / each.load.count for each in slices),
    }
