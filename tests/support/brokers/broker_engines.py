"""Owns clusters of real MQTT brokers: Mosquitto, RabbitMQ, NATS and ejabberd, each below a directory of the test.

Nothing of a service that the distribution may have started is used: configuration, data, names, ports and the Erlang
port mapper are the test's own, and processes are ended by their groups.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.brokers.mosquitto import mosquitto
from tests.support.machine.loop_thread import GENEROUS
from tests.support.machine.required import require

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import Connect, Disconnect, ProtocolVersion
from thingmint.mqtt.relay.brokers.address import parse_broker_address
from thingmint.mqtt.relay.brokers.spec import BrokerSpec
from thingmint.mqtt.relay.credentials import BrokerCredentials

_LOCAL = "127.0.0.1"
# Below those of net.ipv4.ip_local_port_range.
_PORTS = range(12_000, 32_000)
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/rabbitmq/bin")
_PATH = os.pathsep.join((os.environ.get("PATH", ""), *_ELSEWHERE))
USER, PASSWORD = "fleet", "of-the-fleet"  # of brokers that live as long as a test


def program(name: str, package: str) -> str:
    """Return the path of a program; skip or fail the test if it is not installed."""
    path = shutil.which(name, path=_PATH)
    require(path, f"{name} is not installed (package {package})")
    assert path is not None
    return path


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now.

    The system gives no connection one of them: engines take a while until they listen.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError), socket.create_server((_LOCAL, port)):
            found.append(port)
    return found


@dataclass
class BrokerNode:
    """One process of a broker, in a group of its own."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    port: int
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it may take a while until it listens."""
        with (self.directory / "output").open("ab") as output:
            self.popen = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        if self.popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait(GENEROUS)
            self.popen = None

    @property
    def output(self) -> str:
        """What it has printed."""
        return (self.directory / "output").read_text(errors="replace")[-3000:]

    def wait(self, condition: Callable[[], bool] | None = None) -> None:
        """Wait until it serves, or the condition holds."""
        deadline = time.monotonic() + 2 * GENEROUS
        while not (condition or self.serves)():
            assert self.popen is not None
            assert self.popen.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def serves(self) -> bool:
        """Return whether it accepts a client: some engines listen before their cluster is ready."""
        connect = Connect(
            ProtocolVersion.MQTT_3_1_1, f"ready-{uuid.uuid4()}", username=USER, password=PASSWORD.encode()
        )
        try:
            with socket.create_connection((_LOCAL, self.port), timeout=GENEROUS) as connection:
                connection.sendall(encode(connect, connect.version))
                answer = connection.recv(4)
                connection.sendall(encode(Disconnect(), connect.version))
        except OSError:
            return False
        return answer == b"\x20\x02\x00\x00"


@dataclass
class BrokerCluster:
    """A running cluster and how the relay reaches it."""

    name: str
    addresses: tuple[str, ...]
    credentials: BrokerCredentials = field(default_factory=BrokerCredentials)
    nodes: list[BrokerNode] = field(default_factory=list)

    def spec(self, *, first: int = 0) -> BrokerSpec:
        """Return what the relay needs, with the address of this node first."""
        turned = self.addresses[first:] + self.addresses[:first]
        return BrokerSpec(tuple(map(parse_broker_address, turned)), credentials=self.credentials)

    def spec_of(self, number: int) -> BrokerSpec:
        """Return what the relay needs to reach one node alone."""
        return BrokerSpec((parse_broker_address(self.addresses[number]),), credentials=self.credentials)


def _addresses(nodes: Sequence[BrokerNode]) -> tuple[str, ...]:
    return tuple(f"tcp:{_LOCAL}:{node.port}" for node in nodes)


def _directory(base: Path, name: str) -> Path:
    directory = base / name
    directory.mkdir()
    return directory


@contextlib.contextmanager
def _started(nodes: list[BrokerNode]) -> Iterator[None]:
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait()
        yield
    finally:
        for node in nodes:
            node.kill()


@contextlib.contextmanager
def mosquitto_alone(base: Path) -> Iterator[BrokerCluster]:
    """Run Mosquitto, which has no cluster."""
    del base
    (port,) = free_ports(1)
    with mosquitto("max_queued_messages 0", port=port) as broker:
        yield BrokerCluster("Mosquitto", (broker.address,))


@contextlib.contextmanager
def nats_cluster(base: Path) -> Iterator[BrokerCluster]:
    """Run a cluster of three NATS servers with JetStream."""
    server = program("nats-server", "nats-server")
    clients, routes, mqtts = free_ports(3), free_ports(3), free_ports(3)
    peers = ", ".join(f'"nats://{_LOCAL}:{port}"' for port in routes)
    nodes = []
    for number, (client, route, mqtt) in enumerate(zip(clients, routes, mqtts, strict=True)):
        directory = _directory(base, f"nats-{number}")
        (directory / "conf").write_text(
            f'server_name: "n{number}"\nlisten: "{_LOCAL}:{client}"\n'
            f'jetstream {{ store_dir: "{directory}", max_file_store: 256MB, max_memory_store: 64MB }}\n'
            f'cluster {{ name: "fleet", listen: "{_LOCAL}:{route}", routes: [{peers}] }}\n'
            f'mqtt {{ listen: "{_LOCAL}:{mqtt}", ack_wait: "10s" }}\n'
            f'authorization {{ user: "{USER}", password: "{PASSWORD}" }}\n'
        )
        nodes.append(BrokerNode([server, "-c", str(directory / "conf")], os.environ, directory, mqtt))
    with _started(nodes):
        yield BrokerCluster("NATS", _addresses(nodes), BrokerCredentials(USER, password=PASSWORD), nodes)


@contextlib.contextmanager
def _port_mapper() -> Iterator[int]:
    """Run an Erlang port mapper of our own; nodes would start one that outlives them."""
    (port,) = free_ports(1)
    mapper = subprocess.Popen(
        [program("epmd", "erlang-base"), "-port", str(port), "-address", _LOCAL],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + GENEROUS
    while True:
        with contextlib.suppress(OSError), socket.create_connection((_LOCAL, port)):
            break
        assert mapper.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield port
    finally:
        mapper.kill()
        mapper.wait(GENEROUS)


def _erlang_environment(directory: Path, mapper: int) -> dict[str, str]:
    cookie = directory / ".erlang.cookie"
    cookie.write_text("THINGMINTTESTS")
    cookie.chmod(0o400)
    return {
        **os.environ,
        "HOME": str(directory),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": _LOCAL,
        "PATH": _PATH,
    }


@contextlib.contextmanager
def rabbitmq_cluster(base: Path) -> Iterator[BrokerCluster]:
    """Run a cluster of two RabbitMQ nodes with the plug-in for MQTT."""
    # The distribution's wrapper in /usr/sbin changes the user and the directory; this is the program itself.
    server = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin") or program(
        "rabbitmq-server", "rabbitmq-server"
    )
    names = ["thingmint-r0@localhost", "thingmint-r1@localhost"]
    amqps, mqtts, links = free_ports(2), free_ports(2), free_ports(2)
    with _port_mapper() as mapper:
        nodes = []
        for number, name in enumerate(names):
            directory = _directory(base, f"rabbitmq-{number}")
            (directory / "plugins").write_text("[rabbitmq_mqtt].")
            (directory / "env").write_text("")
            (directory / "rabbitmq.conf").write_text(
                "\n".join(
                    [
                        f"listeners.tcp.1 = {_LOCAL}:{amqps[number]}",
                        f"mqtt.listeners.tcp.1 = {_LOCAL}:{mqtts[number]}",
                        "mqtt.allow_anonymous = false",
                        "mqtt.exchange = amq.topic",
                        "mqtt.durable_queue_type = quorum",
                        f"default_user = {USER}",
                        f"default_pass = {PASSWORD}",
                        "cluster_formation.peer_discovery_backend = classic_config",
                        *(f"cluster_formation.classic_config.nodes.{at} = {each}" for at, each in enumerate(names, 1)),
                        "log.console.level = error",
                        "disk_free_limit.absolute = 1MB",
                    ]
                )
                + "\n"
            )
            environment = {
                **_erlang_environment(directory, mapper),
                "RABBITMQ_NODENAME": name,
                "RABBITMQ_BASE": str(directory),
                "RABBITMQ_CONF_ENV_FILE": str(directory / "env"),
                "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
                "RABBITMQ_MNESIA_BASE": str(directory / "data"),
                "RABBITMQ_LOG_BASE": str(directory / "log"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
                "RABBITMQ_PID_FILE": str(directory / "pid"),
                "RABBITMQ_DIST_PORT": str(links[number]),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            }
            nodes.append(BrokerNode([server], environment, directory, mqtts[number]))
        with _started(nodes):
            yield BrokerCluster("RabbitMQ", _addresses(nodes), BrokerCredentials(USER, password=PASSWORD), nodes)


@contextlib.contextmanager
def ejabberd_cluster(base: Path) -> Iterator[BrokerCluster]:
    """Run a cluster of two ejabberd nodes with mod_mqtt."""
    require(next(Path("/usr/lib").glob("*/ejabberd-*/ebin/ejabberd.app"), None), "ejabberd is not installed")
    libraries = next(Path("/usr/lib").glob("*/ejabberd-*/ebin/ejabberd.app")).parents[2]
    erl = program("erl", "erlang-base")
    names = ["thingmint-e0@localhost", "thingmint-e1@localhost"]
    mqtts = free_ports(2)
    with _port_mapper() as mapper:
        nodes = []
        for number, name in enumerate(names):
            directory = _directory(base, f"ejabberd-{number}")
            (directory / "ejabberd.yml").write_text(
                f'hosts: ["localhost"]\nloglevel: error\nauth_method: [anonymous]\nanonymous_protocol: login_anon\n'
                f'listen:\n  - port: {mqtts[number]}\n    ip: "{_LOCAL}"\n    module: mod_mqtt\n    backlog: 1000\n'
                "modules:\n  mod_mqtt:\n    match_retained_limit: infinity\n    max_queue: 100000\n"
                "    max_topic_depth: infinity\n"
            )
            environment = {
                **_erlang_environment(directory, mapper),
                "ERL_LIBS": str(libraries),
                "EJABBERD_CONFIG_PATH": str(directory / "ejabberd.yml"),
                "EJABBERD_LOG_PATH": str(directory / "ejabberd.log"),
            }
            command = [erl, "+S", "1:1", "+sbwt", "none", "-sname", name, "-noinput"]
            command += ["-mnesia", "dir", f'"{directory}/data"', "-s", "ejabberd"]
            nodes.append(BrokerNode(command, environment, directory, mqtts[number]))
        with _started(nodes):
            _join(erl, nodes, names)
            yield BrokerCluster("ejabberd", _addresses(nodes), BrokerCredentials(USER, password=PASSWORD), nodes)


def _join(erl: str, nodes: Sequence[BrokerNode], names: Sequence[str]) -> None:
    ask = f"io:format(\"~p\", [rpc:call('{names[1]}', ejabberd_cluster, join, ['{names[0]}'])]), halt()."
    done = subprocess.run(
        [erl, "-sname", "thingmint-control@localhost", "-hidden", "-noinput", "-eval", ask],
        env=dict(nodes[1].environment),
        capture_output=True,
        text=True,
        timeout=2 * GENEROUS,
        check=True,
    )
    assert done.stdout == "ok", done.stdout + done.stderr
    nodes[1].wait()


ENGINES: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[BrokerCluster]]] = {
    "Mosquitto": mosquitto_alone,
    "RabbitMQ": rabbitmq_cluster,
    "NATS": nats_cluster,
    "ejabberd": ejabberd_cluster,
}
