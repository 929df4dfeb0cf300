"""Owns the figures of the relay against other engines than Mosquitto, each a cluster as the tests configure it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.brokers.broker_engines import ENGINES, PASSWORD, USER, BrokerCluster

from bench import mosquitto
from bench.children import Server, Worker, free_port
from bench.figures.relay_rounds import BATCH, GATEWAY, PAYLOAD_BYTES, Loads, job_of, loads_of, measurement_of
from bench.machine import tree_cpu_s
from bench.measurement import Measurement, Skipped
from bench.plan import Run

DIRECT = "engine"
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
    return measurement_of(
        loads,
        DIRECT,
        figure=figure,
        title=title,
        sides=(
            f"both: MQTT 3.1.1, {PAYLOAD_BYTES} bytes, each client's own messages back to it, {BATCH} at a time, one "
            f"node of {len(cluster.nodes)}; gateway: mutual TLS, policies evaluated for each message in and out; the "
            "engine alone: plain TCP with a password"
        ),
        foreign_share=share,
    )


def _loads(run: Run, directory: Path, cluster: BrokerCluster) -> tuple[Loads, float]:
    with _gateway(directory, cluster) as (gateway, port), Worker("bench.mqtt_load") as devices:
        jobs = {
            GATEWAY: job_of(port) | mosquitto.identity_in(directory),
            DIRECT: job_of(cluster.nodes[0].port) | {"username": USER, "password": PASSWORD},
        }
        return loads_of(run, devices, jobs, lambda: (tree_cpu_s(gateway.pid), _cpu_of(cluster)))


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
