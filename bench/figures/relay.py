"""Owns the figure of the relay against the broker that it relays to."""

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import mosquitto
from bench.children import Server, Worker, free_port
from bench.machine import ForeignLoad, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.mosquitto import Broker
from bench.peers import PeerUnavailable
from bench.plan import CLIENTS, Run, rotated

FIGURE, TITLE = "relay", "QoS 0 messages through gateway and relay ÷ Mosquitto alone"
BATCH = 20
PAYLOAD_BYTES = 128
WARM_UP_S = 0.5
GATEWAY, DIRECT = "gateway", "mosquitto"


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
    loads: dict[str, list[dict[str, Any]]] = {GATEWAY: [], DIRECT: []}
    with mosquitto.running() as broker, _gateway(broker, port) as gateway, Worker("bench.mqtt_load") as devices:
        ports = {GATEWAY: port, DIRECT: broker.port}
        for each in ports.values():
            devices.ask(_job(broker, each, WARM_UP_S))
        foreign = ForeignLoad()
        for round_number in range(run.plan.relay_rounds):
            for name in rotated(list(ports), round_number):
                before = tree_cpu_s(gateway.pid), tree_cpu_s(broker.server.pid)
                load = devices.ask(_job(broker, ports[name], run.plan.relay_slice_s))
                spent = tree_cpu_s(gateway.pid) - before[0], tree_cpu_s(broker.server.pid) - before[1]
                load["gateway_us"], load["broker_us"] = (each / load["count"] * 1e6 for each in spent)
                loads[name].append(load)
        share = foreign.share()
    rates = {name: [load["count"] / load["seconds"] for load in each] for name, each in loads.items()}
    rounds = ratios(rates[GATEWAY], rates[DIRECT])
    counts = {name: sum(load["count"] for load in each) for name, each in loads.items()}
    return Measurement(
        figure=FIGURE,
        title=TITLE,
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, 0.3),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {counts[GATEWAY]} and {counts[DIRECT]} messages, {CLIENTS} clients",
        sides=(
            f"both: mutual TLS, MQTT 3.1.1, {PAYLOAD_BYTES} bytes, each client's own messages back to it, {BATCH} at a "
            "time; gateway: policies evaluated for each message in and out, Unix socket to the same Mosquitto"
        ),
        parts={
            "gateway_per_s": statistics.median(rates[GATEWAY]),
            "mosquitto_per_s": statistics.median(rates[DIRECT]),
            "gateway_us_per_message": median_of(loads[GATEWAY], "gateway_us"),
            "broker_us_per_message_behind_gateway": median_of(loads[GATEWAY], "broker_us"),
            "broker_us_per_message_alone": median_of(loads[DIRECT], "broker_us"),
            "client_us_per_message": median_of(loads[DIRECT], "client_us"),
        },
        foreign_share=share,
    )


def median_of(loads: list[dict[str, Any]], name: str) -> float:
    """Return the median of a part over the rounds."""
    return float(statistics.median(load[name] for load in loads))


def _job(broker: Broker, port: int, seconds: float) -> dict[str, Any]:
    directory = broker.directory
    return {
        "port": port,
        "seconds": seconds,
        "clients": CLIENTS,
        "batch": BATCH,
        "payload_bytes": PAYLOAD_BYTES,
        "server_pem": str(directory / "server.pem"),
        "device_pem": str(directory / "device.pem"),
        "device_key": str(directory / "device.key"),
    }
