"""Owns the figures of several nodes: how soon a revocation and a take-over reach a device of another node."""

import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.support.databases.postgresql import find_programs, new_cluster

from bench import service
from bench.children import Worker
from bench.figures.bystander import EVERYTHING, SHARED, connect_fleet
from bench.load import Caller
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, percentile
from bench.plan import Run
from bench.service import Service
from bench.wire import Request
from thingmint.cli.simulation.clients.identity import new_signing_request
from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion

TAKEOVER = "node-takeover"
IDLE, BUSY = "node-revocation-idle", "node-revocation"
TITLES = {
    IDLE: "p99 of a revocation on another node, nothing else going on",
    BUSY: "p99 of a revocation on another node while a policy of a fleet changes each second",
    TAKEOVER: "p99 of a take-over of a client id by another node",
}
POLICY = "bench-nodes"
CHANGE_S = 1.0
TARGETS_MS = {IDLE: 50.0, BUSY: 200.0, TAKEOVER: 300.0}


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure two nodes on one PostgreSQL that writes to disk."""
    if find_programs() is None:
        return [Skipped(figure, title, "PostgreSQL is not installed") for figure, title in TITLES.items()]
    with ExitStack() as stack:
        one, two = stack.enter_context(_two_nodes(run))
        caller = stack.enter_context(closing(Caller(one.endpoint)))
        caller.text(Request("POST", f"/policies/{POLICY}", body=json.dumps({"policyDocument": EVERYTHING})))
        foreign, count = ForeignLoad(), run.plan.revocations
        found = {IDLE: [_revoked_ms(caller, two, run.directory, number) for number in range(count)]}
        found[TAKEOVER] = _taken_over_ms(caller, (one, two), run.directory, count)
        devices = stack.enter_context(Worker("bench.fleet_devices"))
        connect_fleet(devices, two, caller, run.plan.node_devices)
        with _policy_changes(one):
            found[BUSY] = [_revoked_ms(caller, two, run.directory, count + number) for number in range(count)]
        share = foreign.share()
    sides = "two nodes with the built-in broker, PostgreSQL with fsync; from the request to the end of the connection"
    return [_figure(figure, found[figure], f"{sides}; {run.plan.node_devices} devices", share) for figure in TITLES]


@contextmanager
def _two_nodes(run: Run) -> Iterator[tuple[Service, Service]]:
    with contextmanager(new_cluster)(durable=True) as cluster:
        options = ("--database-url", cluster.url, "--key-reserve", "0", "--mqtt", "127.0.0.1:0")
        with service.running(run.directory / "node-1", *options) as one:
            second = run.directory / "node-2"
            second.mkdir()
            for name in ("keys", "certificates"):
                shutil.copytree(one.data_directory / name, second / name)
            shutil.copy2(one.data_directory / "credentials", second / "credentials")
            with service.running(second, *options) as two:
                yield one, two


@contextmanager
def _policy_changes(node: Service) -> Iterator[None]:
    """Change the policy that the fleet shares each second, for as long as the block runs."""
    is_over = threading.Event()

    def change() -> None:
        change_number = 0
        with closing(Caller(node.endpoint)) as caller:
            while not is_over.wait(CHANGE_S):
                change_number += 1
                document = EVERYTHING.replace("iot:*", f"iot:*{'*' * (change_number % 9)}")
                path, body = f"/policies/{SHARED}/version", json.dumps({"policyDocument": document})
                made = caller.json(Request("POST", path, "setAsDefault=true", body))
                caller.text(Request("DELETE", f"{path}/{int(made['policyVersionId']) - 1}"))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _new_device(caller: Caller, folder: Path, ca_file: Path, number: int) -> tuple[str, ssl.SSLContext]:
    """Return the id of a new certificate that may do everything, and what to connect with."""
    request = new_signing_request(f"node-{number}")
    made = caller.json(service.csr_request(request.csr_pem))
    body = json.dumps({"target": made["certificateArn"]})
    caller.text(Request("PUT", f"/target-policies/{POLICY}", body=body))
    certificate, key = folder / "device.pem", folder / "device.key"
    certificate.write_text(made["certificatePem"])
    key.write_text(request.private_key_pem)
    context = ssl.create_default_context(cafile=str(ca_file))
    context.load_cert_chain(certificate, key)
    return str(made["certificateId"]), context


def _connected(node: Service, context: ssl.SSLContext, client_id: str) -> ssl.SSLSocket:
    port = json.loads((node.data_directory / "endpoints.json").read_text())["mqtt_port"]
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection = context.wrap_socket(plain, server_hostname="localhost")
    connection.sendall(encode(Connect(ProtocolVersion.MQTT_3_1_1, client_id), ProtocolVersion.MQTT_3_1_1))
    # CONNACK of MQTT 3.1.1: its last byte is 0 for an accepted connection.
    answer = connection.recv(4)
    if answer[-1:] != b"\x00":
        raise RuntimeError(f"a device was not accepted: {answer!r}")
    return connection


def _ended(connection: ssl.SSLSocket) -> float:
    """Wait for the end of a connection and return when it came."""
    with connection:
        try:
            while connection.recv(4096):
                pass
        except OSError:
            pass
        return time.perf_counter()


def _revoked_ms(caller: Caller, node: Service, folder: Path, number: int) -> float:
    certificate_id, context = _new_device(caller, folder, node.data_directory / "ca.pem", number)
    connection = _connected(node, context, f"revoked-{number}")
    began = time.perf_counter()
    caller.text(Request("PUT", f"/certificates/{certificate_id}", "newStatus=REVOKED"))
    return (_ended(connection) - began) * 1000


def _taken_over_ms(caller: Caller, nodes: tuple[Service, Service], folder: Path, count: int) -> list[float]:
    _, context = _new_device(caller, folder, nodes[0].data_directory / "ca.pem", -1)
    taken, present = list[float](), _connected(nodes[0], context, "wanderer")
    for number in range(1, count + 1):
        following = _connected(nodes[number % 2], context, "wanderer")
        began = time.perf_counter()
        taken.append((_ended(present) - began) * 1000)
        present = following
    present.close()
    return taken


def _figure(figure: str, values: list[float], sides: str, share: float) -> Measurement:
    p99 = percentile(values, 0.99)
    return Measurement(
        figure=figure,
        title=TITLES[figure],
        value=p99,
        unit="ms",
        target=Target(Bound.AT_MOST, TARGETS_MS[figure]),
        rounds=(p99,),
        n=f"{len(values)} times",
        sides=sides,
        parts={"p50_ms": percentile(values, 0.5), "max_ms": max(values)},
        foreign_share=share,
    )
