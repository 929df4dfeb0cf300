"""Owns the figures of sustained key generation: the service against bare generation, and against moto."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench import moto, service
from bench.children import Worker
from bench.load import LoadGenerator
from bench.machine import ForeignLoad, cores
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.peers import PeerUnavailable
from bench.plan import CLIENTS, Run, rotated
from bench.service import CREATE_KEYS
from bench.wire import Endpoint

BARE, OURS, MOTO = "bare", "thingmint", "moto"
VS_BARE = "keys, sustained ÷ bare key generation"
VS_MOTO = "keys, sustained ÷ moto"
OUR_SIDE = (
    "service: HTTPS keep-alive, SigV4 verified, policy checked, certificate linted and signed by a CA, "
    "committed to disk before the answer, reserve off"
)


@dataclass(slots=True)
class Side:
    """What one side has made in each round."""

    slice: Callable[[], tuple[int, float]]
    counts: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run one slice."""
        count, per_s = self.slice()
        self.counts.append(count)
        self.rates.append(per_s)


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the service, bare generation and moto in turns."""
    seconds = run.plan.key_slice_s
    with ExitStack() as stack:
        generator = stack.enter_context(LoadGenerator())
        workers = [stack.enter_context(Worker("bench.bare")) for _ in cores()]
        ours = stack.enter_context(service.running(run.directory / "keys", "--key-reserve", "0"))
        sides = {
            BARE: Side(lambda: _bare_slice(workers, seconds)),
            OURS: Side(lambda: _served_slice(generator, ours.endpoint, seconds)),
        }
        try:
            peer = stack.enter_context(moto.running(run.directory))
        except PeerUnavailable as unavailable:
            missing = str(unavailable)
        else:
            missing = ""
            sides[MOTO] = Side(lambda: _served_slice(generator, peer.endpoint, seconds))
        foreign = ForeignLoad()
        for round_number in range(run.plan.key_rounds):
            for name in rotated(list(sides), round_number):
                sides[name].run()
        share = foreign.share()
    against_bare = _against(
        sides, BARE, VS_BARE, 0.92, share, "bare: one process a core, rsa.generate_private_key only"
    )
    if missing:
        return [against_bare, Skipped("keys-moto", VS_MOTO, missing)]
    moto_side = f"moto {peer.version}: plain HTTP, signatures not checked, nothing kept, no CA"
    return [against_bare, _against(sides, MOTO, VS_MOTO, 1.0, share, moto_side)]


def _bare_slice(workers: Sequence[Worker], seconds: float) -> tuple[int, float]:
    for worker in workers:
        worker.begin({"work": "keygen", "seconds": seconds, "count": 0})
    answers = [worker.finish() for worker in workers]
    counts = [len(answer["taken_ms"]) for answer in answers]
    return sum(counts), sum(count / answer["elapsed_s"] for count, answer in zip(counts, answers, strict=True))


def _served_slice(generator: LoadGenerator, endpoint: Endpoint, seconds: float) -> tuple[int, float]:
    load = generator.load(endpoint, [CREATE_KEYS], clients=CLIENTS, seconds=seconds)
    return load.count, load.per_s


def _against(
    sides: dict[str, Side], reference: str, title: str, target: float, share: float, reference_side: str
) -> Measurement:
    ours, theirs = sides[OURS], sides[reference]
    rounds = ratios(ours.rates, theirs.rates)
    return Measurement(
        figure=f"keys-{reference}",
        title=title,
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, target),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {sum(ours.counts)} and {sum(theirs.counts)} keys, {CLIENTS} clients",
        sides=f"{OUR_SIDE}; {reference_side}",
        parts={
            "thingmint_per_s": statistics.median(ours.rates),
            f"{reference}_per_s": statistics.median(theirs.rates),
            "ratio_of_means": statistics.fmean(ours.rates) / statistics.fmean(theirs.rates),
        },
        foreign_share=share,
    )
