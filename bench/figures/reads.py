"""Owns the figure of reads that must stay quick while others have keys made."""

import statistics
from contextlib import closing

from bench import service
from bench.certificates import csr_pems
from bench.load import Caller, Load, LoadGenerator
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import CLIENTS, Run
from bench.service import CREATE_KEYS, csr_request, describe_request

PACE_S = 0.01
HEAD_START_S = 0.5
"""For so long the issuing clients run before the first read and after the last one."""


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure one reader alone and beside clients that have keys made, in turns."""
    idle: list[Load] = []
    busy: list[Load] = []
    issued: list[Load] = []
    seconds = run.plan.read_slice_s
    with (
        service.running(run.directory / "reads") as ours,
        LoadGenerator() as reader,
        LoadGenerator() as issuer,
        closing(Caller(ours.endpoint)) as caller,
    ):
        reads = [describe_request(str(caller.json(csr_request(pem))["certificateId"])) for pem in csr_pems()]
        reader.load(ours.endpoint, reads, clients=1, count=200)  # warms up, and gives the reserve time to fill
        foreign = ForeignLoad()
        for _ in range(run.plan.read_rounds):
            idle.append(reader.load(ours.endpoint, reads, clients=1, seconds=seconds, pace_s=PACE_S))
            issuer.begin_load(ours.endpoint, [CREATE_KEYS], clients=CLIENTS, seconds=seconds + 2 * HEAD_START_S)
            # The reserve is drained first: what counts is the state in which keys are generated on demand.
            reader.load(ours.endpoint, reads, clients=1, seconds=HEAD_START_S, pace_s=PACE_S)
            busy.append(reader.load(ours.endpoint, reads, clients=1, seconds=seconds, pace_s=PACE_S))
            issued.append(issuer.finish_load())
        share = foreign.share()
    rounds = ratios([load.p50_ms for load in busy], [load.p50_ms for load in idle])
    return [
        Measurement(
            figure="reads-while-issuing",
            title="DescribeCertificate p50 while 16 clients issue ÷ idle",
            value=statistics.median(rounds),
            unit="×",
            target=Target(Bound.AT_MOST, 3.0),
            rounds=rounds,
            n=f"{len(rounds)} rounds, {sum(load.count for load in busy)} and {sum(load.count for load in idle)} reads, "
            f"one each {PACE_S * 1000:.0f} ms",
            sides="both sides: HTTPS keep-alive, SigV4; busy: all cores generate keys for 16 callers, reserve drained",
            parts={
                "busy_p50_ms": statistics.median(load.p50_ms for load in busy),
                "idle_p50_ms": statistics.median(load.p50_ms for load in idle),
                "issued_per_s": statistics.median(load.per_s for load in issued),
            },
            foreign_share=share,
        )
    ]
