"""Owns the figure of signing requests on one core, against the library alone on the same core."""

import statistics

from bench import service
from bench.certificates import csr_pems
from bench.children import Worker
from bench.load import Load, LoadGenerator
from bench.machine import ForeignLoad, cores
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import CLIENTS, Run, rotated
from bench.service import csr_request


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the service and the library in turns on the first core; the clients have the last one."""
    loads: list[Load] = []
    bare_rates: list[float] = []
    bare_count = 0
    server_core, client_core = cores()[0], cores()[-1]
    requests = [csr_request(pem) for pem in csr_pems()]
    question = {
        "work": "issue",
        "csr_pems": list(csr_pems()),
        "seconds": run.plan.csr_slice_s,
        "count": 0,
        "pin": [server_core],
    }
    with (
        service.running(run.directory / "core", "--key-reserve", "0", core=server_core) as ours,
        LoadGenerator() as generator,
        Worker("bench.bare") as bare,
    ):
        generator.pin(client_core)
        generator.load(ours.endpoint, requests, clients=CLIENTS, seconds=1.0)  # warms up
        foreign = ForeignLoad()
        for round_number in range(run.plan.csr_rounds):
            for side in rotated(("service", "bare"), round_number):
                if side == "service":
                    loads.append(generator.load(ours.endpoint, requests, clients=CLIENTS, seconds=run.plan.csr_slice_s))
                else:
                    seen = bare.ask(question)
                    bare_rates.append(len(seen["taken_ms"]) / seen["elapsed_s"])
                    bare_count += len(seen["taken_ms"])
        share = foreign.share()
    rounds = ratios([load.per_s for load in loads], bare_rates)
    return [
        Measurement(
            figure="csr-core",
            title="CSRs, server on one core ÷ the library alone on it",
            value=statistics.median(rounds),
            unit="×",
            target=Target(Bound.AT_LEAST, 0.3),
            rounds=rounds,
            n=f"{len(rounds)} rounds, {sum(load.count for load in loads)} and {bare_count} certificates, "
            f"{CLIENTS} clients" + ("" if server_core != client_core else " on the same core"),
            sides=(
                "service: HTTPS keep-alive, SigV4, policy, lint, audit entry, commit; "
                "bare: load CSR, verify, build, sign (P-256), encode as PEM; nothing else"
            ),
            parts={
                "thingmint_per_s": statistics.median(load.per_s for load in loads),
                "bare_per_s": statistics.median(bare_rates),
                "client_ms_per_request": statistics.median(load.client_ms for load in loads),
            },
            foreign_share=share,
        )
    ]
