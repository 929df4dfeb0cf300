"""Owns the figure of signing requests against OpenBao."""

import statistics

from bench import openbao, service
from bench.certificates import csr_pems
from bench.load import Load, LoadGenerator
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.peers import PeerUnavailable
from bench.plan import CLIENTS, Run, rotated
from bench.service import csr_request

FIGURE, TITLE = "csr-openbao", "CSRs, durable ÷ OpenBao with raft storage"


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the service and OpenBao in turns."""
    try:
        return [_measure(run)]
    except PeerUnavailable as unavailable:
        return [Skipped(FIGURE, TITLE, str(unavailable))]


def _measure(run: Run) -> Measurement:
    loads: dict[str, list[Load]] = {"thingmint": [], "openbao": []}
    with (
        openbao.running(run.directory / "openbao") as peer,
        service.running(run.directory / "csr", "--key-reserve", "0") as ours,
        LoadGenerator() as generator,
    ):
        sides = {
            "thingmint": (ours.endpoint, [csr_request(pem) for pem in csr_pems()]),
            "openbao": (peer.endpoint, [openbao.sign_request(pem) for pem in csr_pems()]),
        }
        for endpoint, requests in sides.values():
            generator.load(endpoint, requests, clients=CLIENTS, seconds=1.0)  # warms both up
        foreign = ForeignLoad()
        for round_number in range(run.plan.csr_rounds):
            for name in rotated(list(sides), round_number):
                endpoint, requests = sides[name]
                loads[name].append(generator.load(endpoint, requests, clients=CLIENTS, seconds=run.plan.csr_slice_s))
        share = foreign.share()
    mine, theirs = loads["thingmint"], loads["openbao"]
    rounds = ratios([load.per_s for load in mine], [load.per_s for load in theirs])
    return Measurement(
        figure=FIGURE,
        title=TITLE,
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, 1.5),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {sum(load.count for load in mine)} and {sum(load.count for load in theirs)} CSRs, "
        f"{CLIENTS} clients",
        sides=(
            "both: HTTPS keep-alive, RSA-2048 CSRs whose signatures are checked, P-256 issuer, certificate on disk "
            "before the answer; service: also SigV4, lint, audit entry; "
            f"OpenBao {peer.version}: bearer token, raft of one node, no audit device"
        ),
        parts={
            "thingmint_per_s": statistics.median(load.per_s for load in mine),
            "openbao_per_s": statistics.median(load.per_s for load in theirs),
            "thingmint_p50_ms": statistics.median(load.p50_ms for load in mine),
            "openbao_p50_ms": statistics.median(load.p50_ms for load in theirs),
            "client_ms_per_request": statistics.median(load.client_ms for load in mine),
        },
        foreign_share=share,
    )
