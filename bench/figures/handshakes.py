"""Owns the figure of connections that open: what the gateway's processor time allows against the TLS library alone."""

import statistics
from typing import Any

from bench import service
from bench.children import Worker
from bench.machine import ForeignLoad, cores, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import Run, rotated

CLIENTS = 8
WARM_UP_S = 1.0


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure both in turns, each by the processor time that it takes: devices that connect take some, too."""
    server_core, other_core = cores()[0], cores()[-1]
    ours: list[float] = []
    bare: list[dict[str, Any]] = []
    clients_ms: list[float] = []
    count = 0
    with (
        service.running(run.directory / "handshakes", "--key-reserve", "0", core=server_core) as served,
        Worker("bench.fleet_devices") as devices,
        Worker("bench.bare_handshakes") as pairs,
    ):
        devices.ask({"work": "prepare", "data_directory": str(served.data_directory), "pin": [other_core]})
        devices.ask(_job(WARM_UP_S))
        foreign = ForeignLoad()
        for round_number in range(run.plan.handshake_rounds):
            for name in rotated(("bare", "thingmint"), round_number):
                if name == "bare":
                    bare.append(pairs.ask({"seconds": run.plan.handshake_slice_s, "pin": other_core}))
                    continue
                before = tree_cpu_s(served.server.pid)
                taken = devices.ask(_job(run.plan.handshake_slice_s))
                ours.append(taken["count"] / (tree_cpu_s(served.server.pid) - before))
                clients_ms.append(taken["client_cpu_s"] / taken["count"] * 1000)
                count += taken["count"]
        share = foreign.share()
    pairs_per_s = [each["count"] / each["cpu_s"] for each in bare]
    halves_per_s = [rate / each["server_share"] for rate, each in zip(pairs_per_s, bare, strict=True)]
    rounds = ratios(ours, pairs_per_s)
    return [
        Measurement(
            figure="handshakes",
            title="connections opened ÷ handshakes of the TLS library alone, a core each",
            value=statistics.median(rounds),
            unit="×",
            target=Target(Bound.AT_LEAST, 0.6),
            rounds=rounds,
            n=f"{len(rounds)} rounds, {count} connections, {CLIENTS} clients",
            sides=(
                "service: mutual TLS 1.3 (P-256 server, RSA-2048 client), CONNECT, registry and policies read, "
                "CONNACK, DISCONNECT, by processor seconds of the whole service; bare: both halves of the same "
                "handshake, in memory, by processor seconds"
            ),
            parts={
                "thingmint_per_cpu_s": statistics.median(ours),
                "bare_per_cpu_s": statistics.median(pairs_per_s),
                "bare_server_halves_per_cpu_s": statistics.median(halves_per_s),
                "ratio_to_server_halves": statistics.median(ratios(ours, halves_per_s)),
                "client_ms_per_connection": statistics.median(clients_ms),
            },
            foreign_share=share,
        )
    ]


def _job(seconds: float) -> dict[str, Any]:
    return {"work": "connect", "seconds": seconds, "concurrency": CLIENTS}
