"""Owns the figures of depth: a page of a list and a read must cost the same however many certificates there are."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bench import service
from bench.certificates import csr_pems
from bench.filling import fill
from bench.load import Caller, Load, LoadGenerator
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import Run, rotated
from bench.service import Service, csr_request, describe_request, list_request
from bench.wire import Request

PAGE_SIZE = 250
SIDES = "both sides: one client, HTTPS keep-alive, SigV4, one read after the other, warm page cache"


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the first and the last page of many rows, and a read of many rows and of few, in turns."""
    plan = run.plan
    with (
        _filled(run.directory / "rows-many", plan.rows) as (many, many_ids),
        _filled(run.directory / "rows-few", plan.few_rows) as (few, few_ids),
        LoadGenerator() as generator,
    ):
        last_marker, listed = _walk(many)
        if listed != plan.rows:
            raise RuntimeError(f"the pages of the list hold {listed} certificates, the database {plan.rows}")
        sides: dict[str, tuple[Service, Sequence[Request]]] = {
            "first": (many, [list_request(PAGE_SIZE)]),
            "last": (many, [list_request(PAGE_SIZE, last_marker)]),
            "few": (few, [describe_request(one) for one in few_ids]),
            "many": (many, [describe_request(one) for one in many_ids]),
        }
        loads: dict[str, list[Load]] = {name: [] for name in sides}
        foreign = ForeignLoad()
        for round_number in range(plan.row_rounds):
            for name in rotated(list(sides), round_number):
                served, requests = sides[name]
                loads[name].append(generator.load(served.endpoint, requests, clients=1, count=plan.row_requests))
        share = foreign.share()
    return [
        _ratio(
            "list-depth",
            f"ListCertificates at {plan.rows:,} rows, last page ÷ first page",
            (loads["last"], loads["first"]),
            ("last", "first"),
            f"{SIDES}; pages of {PAGE_SIZE}, p50; every page was walked first and {listed:,} certificates counted",
            share,
        ),
        _ratio(
            "describe-depth",
            f"DescribeCertificate at {plan.rows:,} ÷ at {plan.few_rows:,} rows",
            (loads["many"], loads["few"]),
            ("many", "few"),
            f"{SIDES}; p50 of reads of {len(many_ids)} ids each, spread over all rows",
            share,
        ),
    ]


def _ratio(
    figure: str, title: str, loads: tuple[list[Load], list[Load]], names: tuple[str, str], sides: str, share: float
) -> Measurement:
    upper, lower = loads
    rounds = ratios([load.p50_ms for load in upper], [load.p50_ms for load in lower])
    return Measurement(
        figure=figure,
        title=title,
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_MOST, 1.3),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {sum(load.count for load in upper)} requests a side",
        sides=sides,
        parts={
            f"{name}_p50_ms": statistics.median(load.p50_ms for load in side)
            for name, side in zip(names, loads, strict=True)
        },
        foreign_share=share,
    )


@contextmanager
def _filled(data_directory: Path, rows: int) -> Iterator[tuple[Service, list[str]]]:
    # The service itself makes the database and one certificate; the rest is copied while it does not run.
    with service.running(data_directory) as ours, closing(Caller(ours.endpoint)) as caller:
        caller.text(csr_request(csr_pems()[0]))
    sample = fill(data_directory, rows)
    with service.running(data_directory) as ours:
        yield ours, sample


def _walk(ours: Service) -> tuple[str, int]:
    marker, listed = "", 0
    with closing(Caller(ours.endpoint)) as caller:
        while True:
            page = caller.json(list_request(PAGE_SIZE, marker or None))
            listed += len(page["certificates"])
            if not page.get("nextMarker"):
                return marker, listed
            marker = page["nextMarker"]
