"""Owns the figure of a reader beside 320 clients that are slow on purpose: how long the slowest of its reads take."""

from contextlib import closing

from bench import service
from bench.certificates import csr_pems
from bench.children import Worker
from bench.load import Caller, Load, LoadGenerator
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, percentile
from bench.plan import Run
from bench.service import csr_request, describe_request
from bench.slow_clients import KINDS

OF_EACH_KIND = 64
PACE_S = 0.01
READERS = 4


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the readers alone, then beside the slow clients."""
    seconds = run.plan.bystander_s
    with (
        service.running(run.directory / "slow-clients", "--key-reserve", "0") as ours,
        LoadGenerator() as reader,
        Worker("bench.slow_clients") as crowd,
        closing(Caller(ours.endpoint)) as caller,
    ):
        reads = [describe_request(str(caller.json(csr_request(pem))["certificateId"])) for pem in csr_pems()]
        reader.load(ours.endpoint, reads, clients=READERS, count=200)  # warms up
        foreign = ForeignLoad()
        alone = reader.load(ours.endpoint, reads, clients=READERS, seconds=seconds, pace_s=PACE_S)
        crowd.ask({"of_each_kind": OF_EACH_KIND, "port": ours.endpoint.port, "ca_file": ours.endpoint.ca_file})
        crowd.begin({"seconds": seconds + 2})
        beside = reader.load(ours.endpoint, reads, clients=READERS, seconds=seconds, pace_s=PACE_S)
        ended = crowd.finish()["ended"]
        share = foreign.share()
    p99 = percentile(beside.latencies_ms, 0.99)
    return [
        Measurement(
            figure="slow-clients",
            title=f"DescribeCertificate p99 beside {OF_EACH_KIND * len(KINDS)} slow clients",
            value=p99,
            unit="ms",
            target=Target(Bound.AT_MOST, 60.0),
            rounds=(p99,),
            n=f"{beside.count} and {alone.count} reads of {READERS} clients, one each {PACE_S * 1000:.0f} ms",
            sides=f"{OF_EACH_KIND} of each: {', '.join(KINDS)}; ended and opened again: {ended or 'none'}",
            parts={**_parts("alone", alone), **_parts("beside", beside)},
            foreign_share=share,
        )
    ]


def _parts(side: str, load: Load) -> dict[str, float]:
    return {
        f"{side}_p50_ms": load.p50_ms,
        f"{side}_p99_ms": percentile(load.latencies_ms, 0.99),
        f"{side}_max_ms": max(load.latencies_ms),
    }
