"""Owns the figures of the log, and of log, lists and OCSP together: what they cost issuing, and to verify the log."""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import service
from bench.certificates import csr_pems
from bench.children import PROJECT, free_port
from bench.load import Load, LoadGenerator
from bench.machine import ForeignLoad, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import CLIENTS, Run, rotated
from bench.service import csr_request

WITHOUT_LOG = (sys.executable, "-m", "bench.without_log")
ALL_OFF = (sys.executable, "-m", "bench.all_off")


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure issuing with and without the log, and all that follows from it, in turns; then a verification."""
    return [_issuing_with_log(run), _issuing_with_all(run), _verifying(run)]


def _issuing_with_log(run: Run) -> Measurement:
    return _issuing(
        run,
        Sides("log", (), WITHOUT_LOG),
        figure="log-issuing",
        title="CSRs, with the verifiable log ÷ without it",
        sides="both: the service on SQLite; without: entries get no place in the log, everything else is the same",
    )


def _issuing_with_all(run: Run) -> Measurement:
    return _issuing(
        run,
        Sides("all", ("--public", f"127.0.0.1:{free_port()}"), ALL_OFF),
        figure="trust-issuing",
        title="CSRs, with log, revocation lists and OCSP ÷ without all of them",
        sides=(
            "both: the service on SQLite; with: entries get their places in the log, lists are written, an address of "
            "its own serves them and OCSP; without: nothing of that. Certificates name no addresses, as is the default"
        ),
    )


@dataclass(frozen=True, slots=True)
class Sides:
    """A directory's name, the flags of the service that has everything, and the program of the one that has not."""

    name: str
    options: tuple[str, ...]
    without: tuple[str, ...]


def _issuing(run: Run, compared: Sides, *, figure: str, title: str, sides: str) -> Measurement:
    loads: dict[str, list[Load]] = {"with": [], "without": []}
    cpu_us: dict[str, list[float]] = {"with": [], "without": []}
    requests = [csr_request(pem) for pem in csr_pems()]
    directory = run.directory / f"with-and-without-{compared.name}"
    with (
        service.running(directory / "with", "--key-reserve", "0", *compared.options) as complete,
        service.running(directory / "without", "--key-reserve", "0", program=compared.without) as reduced,
        LoadGenerator() as generator,
    ):
        services = {"with": complete, "without": reduced}
        for each in services.values():
            generator.load(each.endpoint, requests, clients=CLIENTS, seconds=1.0)  # warms both up
        foreign = ForeignLoad()
        for round_number in range(run.plan.csr_rounds):
            for name in rotated(list(services), round_number):
                server = services[name]
                before = tree_cpu_s(server.server.pid)
                load = generator.load(server.endpoint, requests, clients=CLIENTS, seconds=run.plan.csr_slice_s)
                loads[name].append(load)
                cpu_us[name].append((tree_cpu_s(server.server.pid) - before) * 1e6 / load.count)
        share = foreign.share()
    rounds = ratios([load.per_s for load in loads["with"]], [load.per_s for load in loads["without"]])
    return Measurement(
        figure=figure,
        title=title,
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, 0.97),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {sum(load.count for load in loads['with'])} CSRs with it, {CLIENTS} clients",
        sides=sides,
        parts={
            "with_per_s": statistics.median(load.per_s for load in loads["with"]),
            "without_per_s": statistics.median(load.per_s for load in loads["without"]),
            "with_cpu_us": statistics.median(cpu_us["with"]),
            "without_cpu_us": statistics.median(cpu_us["without"]),
            "cpu_ratio": statistics.median(ratios(cpu_us["without"], cpu_us["with"])),
        },
        foreign_share=share,
    )


def _verifying(run: Run) -> Measurement:
    foreign = ForeignLoad()
    seen = _verified(run.directory / "verified-log", run.plan.rows)
    rounds = ratios(seen["verify_s"], seen["hashes_s"])
    least = [digests + reading for digests, reading in zip(seen["digests_s"], seen["reading_s"], strict=True)]
    return Measurement(
        figure="log-verify",
        title="`log verify` ÷ hashing the same leaves alone",
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_MOST, 3.0),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {run.plan.rows} leaves, {seen['certificates']} certificates",
        sides=(
            "verify: reads tiles, entries and certificates from SQLite, makes each leaf, compares it with its tile, "
            "follows it, computes every tile and the root, compares each certificate; hashing alone: the contents of "
            "the leaves are in memory, and become leaf hashes and the root. CPU time of one process. A leaf's content "
            "needs two more hash functions (salt, private digest): `over_digests` divides by all of them, "
            "`over_leaves` by making and hashing the leaves of entries that are in memory, and `over_least` by all "
            "digests and reading the rows, which no verification can do without"
        ),
        parts={
            "verify_us_per_leaf": statistics.median(seen["verify_s"]) * 1e6 / run.plan.rows,
            "leaves_us_per_leaf": statistics.median(seen["leaves_s"]) * 1e6 / run.plan.rows,
            "digests_us_per_leaf": statistics.median(seen["digests_s"]) * 1e6 / run.plan.rows,
            "hashes_us_per_leaf": statistics.median(seen["hashes_s"]) * 1e6 / run.plan.rows,
            "reading_us_per_leaf": statistics.median(seen["reading_s"]) * 1e6 / run.plan.rows,
            "least_ratio": statistics.median(ratios(least, seen["hashes_s"])),
            "over_least": statistics.median(ratios(seen["verify_s"], least)),
            "over_digests": statistics.median(ratios(seen["verify_s"], seen["digests_s"])),
            "over_leaves": statistics.median(ratios(seen["verify_s"], seen["leaves_s"])),
        },
        foreign_share=foreign.share(),
    )


def _verified(directory: Path, leaves: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.verify_log", str(directory), str(leaves)]
    ended = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    answer: dict[str, list[float]] = json.loads(ended.stdout)
    return answer
