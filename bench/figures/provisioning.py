"""Owns the figures of provisioning: the whole flow against bare key generation, and one device's flow with a CSR."""

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from bench import service
from bench.children import Worker
from bench.machine import ForeignLoad, cores
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import Run, rotated

DEVICES = 8
WARM_UP_S = 1.0
MINISTACK = (
    "MiniStack 1.5.33 provisions by keys only (create-from-csr is not answered), and its device port listens on all "
    "interfaces of the machine whatever it is told, which a benchmark must not do to anybody"
)


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure both flows; the reserve is empty, so that no key was paid for before."""
    with (
        service.running(run.directory / "provisioning", "--key-reserve", "0") as ours,
        Worker("bench.fleet_devices") as devices,
    ):
        devices.ask({"work": "prepare", "data_directory": str(ours.data_directory)})
        return [
            _whole_flow(run, devices),
            _csr_flow(run, devices),
            Skipped("csr-flow-ministack", "CSR flow of one device, MiniStack", MINISTACK),
        ]


def _whole_flow(run: Run, devices: Worker) -> Measurement:
    seconds, sides = run.plan.provisioning_slice_s, ("bare", "thingmint")
    bare_rates: list[float] = []
    slices: list[dict[str, Any]] = []
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker("bench.bare")) for _ in cores()]
        devices.ask(_job(WARM_UP_S, DEVICES, csr=False))
        foreign = ForeignLoad()
        for round_number in range(run.plan.provisioning_rounds):
            for name in rotated(sides, round_number):
                if name == "bare":
                    bare_rates.append(_bare_rate(workers, seconds))
                else:
                    slices.append(devices.ask(_job(seconds, DEVICES, csr=False)))
        share = foreign.share()
    rates = [each["count"] / each["elapsed_s"] for each in slices]
    rounds = ratios(rates, bare_rates)
    count = sum(each["count"] for each in slices)
    return Measurement(
        figure="provisioning",
        title="devices provisioned, from claim to message ÷ bare key generation",
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, 0.75),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {count} devices, {DEVICES} at a time",
        sides=(
            "service: two mutual TLS handshakes a device, CreateKeysAndCertificate, RegisterThing (thing, policy, "
            "certificate), reconnect, subscribe, publish, hear; reserve off; the devices share its cores; bare: one "
            "process a core, rsa.generate_private_key only"
        ),
        parts={
            "devices_per_s": statistics.median(rates),
            "bare_keys_per_s": statistics.median(bare_rates),
            "client_ms_per_device": sum(each["client_cpu_s"] for each in slices) / count * 1000,
            **{f"{step}_p50_ms": _p50(slices, step) for step in ("connect", "keys", "register", "reconnect")},
        },
        foreign_share=share,
    )


def _csr_flow(run: Run, devices: Worker) -> Measurement:
    devices.ask(_job(WARM_UP_S, 1, csr=True))
    foreign = ForeignLoad()
    slices = [devices.ask(_job(run.plan.csr_flow_slice_s, 1, csr=True)) for _ in range(run.plan.csr_flow_rounds)]
    share = foreign.share()
    rounds = tuple(each["p50_ms"]["provisioned"] for each in slices)
    return Measurement(
        figure="csr-flow",
        title="CSR flow of one device: connect → provisioned and connected, p50",
        value=statistics.median(rounds),
        unit="ms",
        target=Target(Bound.AT_MOST, 60.0),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {sum(each['count'] for each in slices)} devices, one after the other",
        sides="P-256 key made by the device within the time; committed to disk before each answer",
        parts={f"{step}_ms": _p50(slices, step) for step in ("connect", "csr", "register", "reconnect")},
        foreign_share=share,
    )


def _bare_rate(workers: Sequence[Worker], seconds: float) -> float:
    for worker in workers:
        worker.begin({"work": "keygen", "seconds": seconds, "count": 0})
    answers = [worker.finish() for worker in workers]
    return float(sum(len(answer["taken_ms"]) / answer["elapsed_s"] for answer in answers))


def _job(seconds: float, concurrency: int, *, csr: bool) -> dict[str, Any]:
    return {"work": "provision", "seconds": seconds, "concurrency": concurrency, "csr": csr}


def _p50(slices: Sequence[dict[str, Any]], step: str) -> float:
    return float(statistics.median(each["p50_ms"][step] for each in slices))
