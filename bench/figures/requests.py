"""Owns the figure of a read's processor time, next to that of the simplest page and of a signing request."""

import statistics
from collections.abc import Sequence

from bench import service
from bench.certificates import csr_pems
from bench.children import Worker
from bench.load import Caller, LoadGenerator
from bench.machine import ForeignLoad, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import CLIENTS, Run, rotated
from bench.service import Service, csr_request, describe_request
from bench.wire import Request

_PAGE = Request("GET", "/healthz")


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure reads, health checks, signing requests and the library in turns."""
    csrs = [csr_request(pem) for pem in csr_pems()]
    spent: dict[str, list[float]] = {"healthz": [], "read": [], "csr": [], "library": []}
    count = 0
    with (
        service.running(run.directory / "requests", "--key-reserve", "0") as ours,
        LoadGenerator() as generator,
        Worker("bench.bare") as bare,
    ):
        caller = Caller(ours.endpoint)
        certificate_ids = [caller.json(request)["certificateId"] for request in csrs]
        caller.close()
        sides = {"healthz": [_PAGE], "read": [describe_request(each) for each in certificate_ids], "csr": csrs}
        for requests in sides.values():
            generator.load(ours.endpoint, requests, clients=CLIENTS, seconds=1.0)  # warms up
        foreign = ForeignLoad()
        for round_number in range(run.plan.csr_rounds):
            for side in rotated(list(sides), round_number):
                microseconds, answers = _spent(ours, generator, sides[side], run.plan.csr_slice_s)
                spent[side].append(microseconds)
                count += answers if side == "read" else 0
            question = {"work": "issue", "csr_pems": list(csr_pems()), "seconds": run.plan.csr_slice_s / 2, "count": 0}
            seen = bare.ask(question)
            spent["library"].append(seen["cpu_s"] * 1e6 / len(seen["taken_ms"]))
        share = foreign.share()
    rounds = ratios(spent["read"], spent["healthz"])
    return [
        Measurement(
            figure="read-healthz",
            title="processor time of DescribeCertificate ÷ /healthz",
            value=statistics.median(rounds),
            unit="×",
            target=Target(Bound.AT_MOST, 3.0),
            rounds=rounds,
            n=f"{len(rounds)} rounds, {count} reads, {CLIENTS} clients",
            sides=(
                "both: HTTPS keep-alive, the same connections, processor time of the service's processes; "
                "read: also SigV4, access key and policy, one row, log line, metrics; /healthz: no signature, no line"
            ),
            parts={f"{side}_us": statistics.median(values) for side, values in spent.items()}
            | {"library_to_csr": statistics.median(ratios(spent["library"], spent["csr"]))},
            foreign_share=share,
        )
    ]


def _spent(ours: Service, generator: LoadGenerator, requests: Sequence[Request], seconds: float) -> tuple[float, int]:
    """Return the service's processor time for each of these requests, in microseconds, and how many were answered."""
    before = tree_cpu_s(ours.server.pid)
    load = generator.load(ours.endpoint, requests, clients=CLIENTS, seconds=seconds)
    return (tree_cpu_s(ours.server.pid) - before) * 1e6 / load.count, load.count
