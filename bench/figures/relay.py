"""Owns the figure of the relay against the broker that it relays to."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench import mosquitto
from bench.children import Server, Worker, free_port
from bench.figures.relay_rounds import (
    BATCH,
    GATEWAY,
    PAYLOAD_BYTES,
    Job,
    job_of,
    loads_of,
    measurement_of,
    median_of,
)
from bench.machine import tree_cpu_s
from bench.measurement import Measurement, Skipped
from bench.mosquitto import Broker
from bench.peers import PeerUnavailable
from bench.plan import Run

FIGURE, TITLE = "relay", "QoS 0 messages through gateway and relay ÷ Mosquitto alone"
DIRECT = "mosquitto"


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure both ways to the same broker in turns."""
    try:
        return [_measure(run)]
    except PeerUnavailable as unavailable:
        return [Skipped(FIGURE, TITLE, str(unavailable))]


@contextmanager
def _gateway(broker: Broker, port: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "bench.relay_gateway", str(broker.directory), str(port), broker.relay_address]
    server = Server(command, broker.directory / "gateway.log")
    try:
        server.wait_until(lambda: mosquitto.answers(port))
        yield server
    finally:
        server.stop()


def _measure(run: Run) -> Measurement:
    port = free_port()
    with mosquitto.running() as broker, _gateway(broker, port) as gateway, Worker("bench.mqtt_load") as devices:
        jobs = {GATEWAY: _job(broker, port), DIRECT: _job(broker, broker.port)}
        loads, share = loads_of(run, devices, jobs, lambda: (tree_cpu_s(gateway.pid), tree_cpu_s(broker.server.pid)))
    return measurement_of(
        loads,
        DIRECT,
        figure=FIGURE,
        title=TITLE,
        sides=(
            f"both: mutual TLS, MQTT 3.1.1, {PAYLOAD_BYTES} bytes, each client's own messages back to it, {BATCH} at a "
            "time; gateway: policies evaluated for each message in and out, Unix socket to the same Mosquitto"
        ),
        foreign_share=share,
        at_least=0.3,
        parts={"client_us_per_message": median_of(loads[DIRECT], "client_us")},
    )


def _job(broker: Broker, port: int) -> Job:
    return job_of(port) | mosquitto.identity_in(broker.directory)
