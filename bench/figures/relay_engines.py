"""Owns the figures of the relay against other engines than Mosquitto, each a cluster as the tests configure it."""

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.broker_engines import ENGINES, PASSWORD, USER, BrokerCluster

from bench import mosquitto
from bench.children import Server, Worker, free_port
from bench.figures.relay import BATCH, PAYLOAD_BYTES, WARM_UP_S, median_of
from bench.machine import ForeignLoad, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import CLIENTS, Run, rotated

GATEWAY, DIRECT = "gateway", "engine"
# By the package of Debian: a program of it, and what the figure is called.
_PROGRAMS = {
    "RabbitMQ": ("rabbitmq-server", "relay-rabbitmq"),
    "NATS": ("nats-server", "relay-nats"),
    "ejabberd": ("ejabberdctl", "relay-ejabberd"),
}
_ELSEWHERE = ("/usr/sbin", "/usr/lib/rabbitmq/bin")


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure both ways to one node of each engine in turns."""
    return [_measure(run, engine) for engine in _PROGRAMS]


def _measure(run: Run, engine: str) -> Measurement | Skipped:
    program, figure = _PROGRAMS[engine]
    title = f"QoS 0 messages through gateway and relay ÷ {engine} alone"
    if shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *_ELSEWHERE))) is None:
        return Skipped(figure, title, f"{program} is not installed")
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ENGINES[engine](Path(name)) as cluster:
        mosquitto.write_identities(Path(name))
        loads, share = _loads(run, Path(name), cluster)
    rates = {side: [load["count"] / load["seconds"] for load in each] for side, each in loads.items()}
    rounds = ratios(rates[GATEWAY], rates[DIRECT])
    counts = {side: sum(load["count"] for load in each) for side, each in loads.items()}
    return Measurement(
        figure=figure,
        title=title,
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, 0.25),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {counts[GATEWAY]} and {counts[DIRECT]} messages, {CLIENTS} clients",
        sides=(
            f"both: MQTT 3.1.1, {PAYLOAD_BYTES} bytes, each client's own messages back to it, {BATCH} at a time, one "
            f"node of {len(cluster.nodes)}; gateway: mutual TLS, policies evaluated for each message in and out; the "
            "engine alone: plain TCP with a password"
        ),
        parts={
            "gateway_per_s": statistics.median(rates[GATEWAY]),
            "engine_per_s": statistics.median(rates[DIRECT]),
            "gateway_us_per_message": median_of(loads[GATEWAY], "gateway_us"),
            "broker_us_per_message_behind_gateway": median_of(loads[GATEWAY], "broker_us"),
            "broker_us_per_message_alone": median_of(loads[DIRECT], "broker_us"),
        },
        foreign_share=share,
    )


def _loads(run: Run, directory: Path, cluster: BrokerCluster) -> tuple[dict[str, list[dict[str, Any]]], float]:
    loads: dict[str, list[dict[str, Any]]] = {GATEWAY: [], DIRECT: []}
    with _gateway(directory, cluster) as (gateway, port), Worker("bench.mqtt_load") as devices:
        jobs = {GATEWAY: _job(port) | _identity(directory), DIRECT: _job(cluster.nodes[0].port) | _login()}
        for job in jobs.values():
            devices.ask(job | {"seconds": WARM_UP_S})
        foreign = ForeignLoad()
        for round_number in range(run.plan.relay_rounds):
            for name in rotated(list(jobs), round_number):
                before = tree_cpu_s(gateway.pid), _cpu_of(cluster)
                load = devices.ask(jobs[name] | {"seconds": run.plan.relay_slice_s})
                spent = tree_cpu_s(gateway.pid) - before[0], _cpu_of(cluster) - before[1]
                load["gateway_us"], load["broker_us"] = (each / load["count"] * 1e6 for each in spent)
                loads[name].append(load)
        return loads, foreign.share()


@contextmanager
def _gateway(directory: Path, cluster: BrokerCluster) -> Iterator[tuple[Server, int]]:
    port = free_port()
    command = [sys.executable, "-m", "bench.relay_gateway", str(directory), str(port), cluster.addresses[0]]
    login = {"BENCH_BROKER_USER": USER, "BENCH_BROKER_PASSWORD": PASSWORD}
    server = Server(command, directory / "gateway.log", environment=login)
    try:
        server.wait_until(lambda: mosquitto.answers(port))
        yield server, port
    finally:
        server.stop()


def _cpu_of(cluster: BrokerCluster) -> float:
    return sum(tree_cpu_s(node.popen.pid) for node in cluster.nodes if node.popen is not None)


def _job(port: int) -> dict[str, Any]:
    return {"port": port, "clients": CLIENTS, "batch": BATCH, "payload_bytes": PAYLOAD_BYTES}


def _login() -> dict[str, Any]:
    return {"username": USER, "password": PASSWORD}


def _identity(directory: Path) -> dict[str, Any]:
    names = {"server_pem": "server.pem", "device_pem": "device.pem", "device_key": "device.key"}
    return {name: str(directory / file) for name, file in names.items()}
