"""Runs a real Mosquitto on a Unix socket, and opens connections to it that pass by the gateway."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.devices.mqtt_peer import V5, Peer
from tests.support.machine.loop_thread import GENEROUS
from tests.support.machine.required import require

from thingmint.mqtt.codec.packets import ProtocolVersion
from thingmint.mqtt.codec.reason_codes import ReasonCode

# Debian installs it where only root's PATH leads.
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin")


def mosquitto_program() -> str:
    """Return the path of the broker; skip or fail the test if it is not installed."""
    path = shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), *_ELSEWHERE)))
    require(path, "mosquitto is not installed")
    assert path is not None
    return path


@dataclass
class Mosquitto:
    """A broker that can be stopped, started and made deaf."""

    program: str
    directory: Path
    port: int | None
    popen: subprocess.Popen[bytes] | None = None
    tls_port: int | None = None
    """Of a second listener, if the test has configured one."""

    @property
    def socket_path(self) -> str:
        """Where it listens."""
        return str(self.directory / "s")

    @property
    def address(self) -> str:
        """Its address for the relay."""
        return f"unix:{self.socket_path}" if self.port is None else f"tcp:127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.directory / "log").read_text(errors="replace")

    def configure(self, *lines: str) -> None:
        """Write its configuration."""
        listener = f"listener 0 {self.socket_path}" if self.port is None else f"listener {self.port} 127.0.0.1"
        # As root it would give up its rights, and its access to the test's directory.
        user = ["user root"] if os.geteuid() == 0 else []
        persistence = ["persistence true", f"persistence_location {self.directory}/"]
        text = [*user, *persistence, listener, "allow_anonymous true", "set_tcp_nodelay true", *lines]
        (self.directory / "conf").write_text("\n".join(text) + "\n")

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self.directory / "log").open("ab") as log:
            command = [self.program, "-v", "-c", str(self.directory / "conf")]
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + GENEROUS
        while not self._listens():
            assert self.popen.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it, politely; it saves its sessions."""
        if self.popen is not None:
            self.popen.terminate()
            self.popen.wait(GENEROUS)
            self.popen = None
            with contextlib.suppress(FileNotFoundError):
                (self.directory / "s").unlink()

    def pause(self) -> None:
        """Make it deaf until `resume`."""
        assert self.popen is not None
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.popen is not None
        self.popen.send_signal(signal.SIGCONT)

    def connect(self) -> socket.socket:
        """Open a plain connection."""
        if self.port is not None:
            return socket.create_connection(("127.0.0.1", self.port), timeout=GENEROUS)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(GENEROUS)
        try:
            connection.connect(self.socket_path)
        except OSError:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def peer(self, client_id: str, version: ProtocolVersion = V5) -> Iterator[Peer]:
        """Connect a client that passes by the gateway."""
        with self.connect() as connection:
            opened = Peer(connection, version)
            assert opened.connect(client_id).reason_code is ReasonCode.SUCCESS
            yield opened

    def _listens(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def mosquitto(*configuration: str, port: int | None = None) -> Iterator[Mosquitto]:
    """Run a broker with these lines in its configuration besides what every test needs."""
    program = mosquitto_program()
    # The path of a Unix socket has 107 bytes at most; pytest's directories may have more.
    with tempfile.TemporaryDirectory(prefix="mosquitto-") as directory:
        broker = Mosquitto(program, Path(directory), port)
        broker.configure(*configuration)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()
