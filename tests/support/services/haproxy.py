"""Runs HAProxy with the configuration of `deploy/haproxy`, in front of nodes on this machine."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.clients.aws import Live
from tests.support.machine.required import required_program

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "haproxy" / "haproxy.cfg"
BALANCER = "127.0.7.7"
"""The address from which the balancer connects to nodes, so that others on this machine are no balancers."""

_PATIENCE = 60.0


@dataclass(frozen=True)
class Balancer:
    """A balancer that runs, and its ports."""

    api_port: int
    mqtt_port: int
    log_file: Path


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def configuration(nodes: Sequence[Live], api_port: int, mqtt_port: int, also: Mapping[str, str]) -> str:
    """Return the file's text with the addresses of the nodes and these changes; lines without a node stay out."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    replaced = {
        "bind :443": f"bind 127.0.0.1:{api_port}",
        "bind :8883": f"bind 127.0.0.1:{mqtt_port}",
        "maxconn 100000": "maxconn 2000",
        "/etc/haproxy/thingmint-ca.pem": str(nodes[0].ca_file),
        "default-server ": f"default-server source {BALANCER} ",
        "inter 2s": "inter 500ms",
    }
    replaced |= also
    for number, node in enumerate(nodes, 1):
        endpoints = node.service.endpoints
        _, _, port = endpoints.api.rpartition(":")
        replaced[f"node-{number}.example:8443"] = f"127.0.0.1:{port}"
        replaced[f"node-{number}.example:8883 port 8443"] = f"127.0.0.1:{endpoints.mqtt_port} port {port}"
    for ours, theirs in replaced.items():
        assert ours in text, ours
        text = text.replace(ours, theirs)
    return "".join(line for line in text.splitlines(keepends=True) if ".example:" not in line)


@contextlib.contextmanager
def haproxy(folder: Path, nodes: Sequence[Live], also: Mapping[str, str] | None = None) -> Iterator[Balancer]:
    """Yield a balancer in front of the nodes, whose ports accept connections; ``also`` changes the file further."""
    api_port, mqtt_port = _free_port(), _free_port()
    file, log_file = folder / "haproxy.cfg", folder / "haproxy.log"
    file.write_text(configuration(nodes, api_port, mqtt_port, also or {}), encoding="utf-8")
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [required_program("haproxy"), "-db", "-f", str(file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + _PATIENCE
        while not (_accepts(api_port) and _accepts(mqtt_port)):
            assert process.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline, log_file.read_text()
            time.sleep(0.05)
        yield Balancer(api_port, mqtt_port, log_file)
    finally:
        process.kill()
        process.wait(_PATIENCE)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
