"""Owns the figures of the key engine ifma: sustained against moto and against bare generation, and a burst."""

import statistics
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from bench import moto, service
from bench.certificates import csr_pems
from bench.children import Worker
from bench.figures.latency import wait_for_full_reserve
from bench.load import Caller, Load, LoadGenerator
from bench.machine import ForeignLoad, cores, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.peers import PeerUnavailable
from bench.plan import CLIENTS, Run, rotated
from bench.service import CREATE_KEYS, csr_request
from bench.wire import Endpoint
from thingmint.keys.engines import choose_engine
from thingmint.keys.generators import Engine

BARE, OURS, MOTO = "bare", "thingmint", "moto"
FIGURES = {
    "keys-ifma-moto": "keys with the engine ifma, sustained ÷ moto",
    "keys-ifma-bare": "keys with the engine ifma, sustained ÷ the engine alone on all cores",
    "keys-burst": "burst of keys from a full reserve ÷ CSRs",
}
RESERVE, BURST = 512, 500
SERVED = "service: HTTPS keep-alive, SigV4 verified, policy checked, linted, signed, committed before the answer"


@dataclass(slots=True)
class Side:
    """What one side has made in each round, and what that took of the processor."""

    rates: list[float] = field(default_factory=list)
    count: int = 0
    cpu_s: float = 0.0

    def add(self, count: int, per_s: float, cpu_s: float) -> None:
        """Add a round."""
        self.rates.append(per_s)
        self.count += count
        self.cpu_s += cpu_s

    @property
    def cpu_ms(self) -> float:
        """Processor time for one key, over all rounds."""
        return self.cpu_s * 1000 / self.count


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the service with the engine, the engine alone and moto in turns, then bursts and CSRs in turns."""
    choice = choose_engine("auto")
    if choice.engine is not Engine.IFMA:
        return [Skipped(figure, title, choice.reason) for figure, title in FIGURES.items()]
    return [*_sustained(run), _burst(run)]


def _sustained(run: Run) -> list[Measurement | Skipped]:
    sides = {BARE: Side(), OURS: Side()}
    clients: list[Load] = []
    missing = ""
    with ExitStack() as stack:
        generator = stack.enter_context(LoadGenerator())
        workers = [stack.enter_context(Worker("bench.bare")) for _ in cores()]
        ours = stack.enter_context(
            service.running(run.directory / "engine", "--key-reserve", "0", "--key-engine", "ifma")
        )
        endpoints: dict[str, tuple[Endpoint, int]] = {OURS: (ours.endpoint, ours.server.pid)}
        try:
            peer = stack.enter_context(moto.running(run.directory))
        except PeerUnavailable as unavailable:
            missing = str(unavailable)
        else:
            sides[MOTO] = Side()
            endpoints[MOTO] = (peer.endpoint, peer.pid)
        foreign = ForeignLoad()
        for round_number in range(run.plan.key_rounds):
            for name in rotated(list(sides), round_number):
                if name == BARE:
                    _bare_slice(sides[BARE], workers, run.plan.key_slice_s)
                else:
                    endpoint, pid = endpoints[name]
                    load = _served_slice(sides[name], generator, endpoint, pid, run.plan.key_slice_s)
                    clients += [load] if name == OURS else []
        share = foreign.share()
    client_ms = statistics.median(load.client_ms for load in clients)
    bare_side = "bare: one process a core, search, assembly and pairwise test only"
    against_bare = _against("keys-ifma-bare", sides, BARE, 0.90, bare_side, client_ms, share)
    if missing:
        return [Skipped("keys-ifma-moto", FIGURES["keys-ifma-moto"], missing), against_bare]
    moto_side = f"moto {peer.version}: plain HTTP, keys by OpenSSL, signatures not checked, nothing kept, no CA"
    return [_against("keys-ifma-moto", sides, MOTO, 5.0, moto_side, client_ms, share), against_bare]


def _bare_slice(side: Side, workers: Sequence[Worker], seconds: float) -> None:
    for worker in workers:
        worker.begin({"work": "keygen-ifma", "seconds": seconds, "count": 0})
    answers = [worker.finish() for worker in workers]
    counts = [len(answer["taken_ms"]) for answer in answers]
    rates = [count / answer["elapsed_s"] for count, answer in zip(counts, answers, strict=True)]
    side.add(sum(counts), sum(rates), sum(answer["cpu_s"] for answer in answers))


def _served_slice(side: Side, generator: LoadGenerator, endpoint: Endpoint, pid: int, seconds: float) -> Load:
    before = tree_cpu_s(pid)
    load = generator.load(endpoint, [CREATE_KEYS], clients=CLIENTS, seconds=seconds)
    side.add(load.count, load.per_s, tree_cpu_s(pid) - before)
    return load


def _against(
    figure: str, sides: dict[str, Side], name: str, target: float, reference: str, client_ms: float, share: float
) -> Measurement:
    ours, theirs = sides[OURS], sides[name]
    rounds = ratios(ours.rates, theirs.rates)
    return Measurement(
        figure=figure,
        title=FIGURES[figure],
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, target),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {ours.count} and {theirs.count} keys, {CLIENTS} clients",
        sides=f"{SERVED}, reserve off; {reference}",
        parts={
            "thingmint_per_s": statistics.median(ours.rates),
            f"{name}_per_s": statistics.median(theirs.rates),
            "thingmint_cpu_ms": ours.cpu_ms,
            f"{name}_cpu_ms": theirs.cpu_ms,
            "ratio_by_processor_time": theirs.cpu_ms / ours.cpu_ms,
            "client_ms_per_request": client_ms,
        },
        foreign_share=share,
    )


def _burst(run: Run) -> Measurement:
    loads: dict[str, list[Load]] = {"burst": [], "csr": []}
    options = ("--key-reserve", str(RESERVE), "--key-engine", "ifma")
    with (
        service.running(run.directory / "burst", *options) as ours,
        LoadGenerator() as generator,
        closing(Caller(ours.endpoint)) as caller,
    ):
        csrs = [csr_request(pem) for pem in csr_pems()]
        foreign = ForeignLoad()
        for round_number in range(run.plan.csr_rounds):
            for name in rotated(list(loads), round_number):
                wait_for_full_reserve(caller, RESERVE)
                requests = csrs if name == "csr" else [CREATE_KEYS]
                loads[name].append(generator.load(ours.endpoint, requests, clients=CLIENTS, count=BURST))
        share = foreign.share()
    rounds = ratios([load.per_s for load in loads["burst"]], [load.per_s for load in loads["csr"]])
    return Measurement(
        figure="keys-burst",
        title=FIGURES["keys-burst"],
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, 0.8),
        rounds=rounds,
        n=f"{len(rounds)} rounds of {BURST} requests a side, {CLIENTS} clients, reserve of {RESERVE}",
        sides=f"both: {SERVED}; burst: from the reserve, which is being refilled; CSRs: RSA-2048, reserve full",
        parts={
            **{f"{name}_per_s": statistics.median(load.per_s for load in side) for name, side in loads.items()},
            **{f"{name}_p50_ms": statistics.median(load.p50_ms for load in side) for name, side in loads.items()},
        },
        foreign_share=share,
    )
