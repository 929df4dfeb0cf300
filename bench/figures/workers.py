"""Owns the figures of one machine on PostgreSQL: two workers against one, and PostgreSQL against SQLite."""

import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tests.support.postgresql import find_programs, new_cluster, new_database

from bench import service
from bench.certificates import csr_pems
from bench.load import Load, LoadGenerator
from bench.machine import ForeignLoad
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
    loads: dict[str, list[Load]] = {ONE: [], TWO: [], SQLITE: []}
    requests = [csr_request(pem) for pem in csr_pems()]
    with _services(run) as sides, LoadGenerator() as generator:
        for side in sides.values():
            generator.load(side.endpoint, requests, clients=CLIENTS, seconds=1.0)  # warms all up
        foreign = ForeignLoad()
        for round_number in range(run.plan.csr_rounds):
            for name in rotated(list(sides), round_number):
                # The kernel spreads connections over the workers when they are opened: each slice opens its own.
                slice_s = run.plan.csr_slice_s
                load = generator.load(sides[name].endpoint, requests, clients=CLIENTS, seconds=slice_s)
                loads[name].append(load)
        share = foreign.share()
    return [_figure(WORKERS, loads, TWO, ONE, 1.25, share), _figure(ENGINES, loads, ONE, SQLITE, 0.7, share)]


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
    figure: str, loads: Mapping[str, list[Load]], mine: str, theirs: str, bound: float, share: float
) -> Measurement:
    rounds = ratios([load.per_s for load in loads[mine]], [load.per_s for load in loads[theirs]])
    return Measurement(
        figure=figure,
        title=TITLES[figure],
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, bound),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {sum(load.count for load in loads[mine])} CSRs, {CLIENTS} clients",
        sides="the service, its clients and PostgreSQL (fsync) share the cores of this machine",
        parts={
            f"{mine}_per_s": statistics.median(load.per_s for load in loads[mine]),
            f"{theirs}_per_s": statistics.median(load.per_s for load in loads[theirs]),
            f"{mine}_client_cores": _client_cores(loads[mine]),
            f"{theirs}_client_cores": _client_cores(loads[theirs]),
        },
        foreign_share=share,
    )


def _client_cores(loads: list[Load]) -> float:
    """Return how many cores the clients took."""
    return statistics.median(load.cpu_s / load.elapsed_s for load in loads)
