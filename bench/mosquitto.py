"""Owns the Mosquitto that the relay is measured with: one broker, with TLS for devices and a Unix socket."""

import datetime as dt
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.children import Server, free_port
from bench.peers import PeerUnavailable

# Debian installs it where only root's PATH leads.
ELSEWHERE = ("/usr/sbin", "/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker, and the directory of the identities."""

    server: Server
    directory: Path
    port: int

    @property
    def relay_address(self) -> str:
        """Where the relay finds it."""
        return f"unix:{self.directory / 's'}"


@contextmanager
def running() -> Iterator[Broker]:
    """Run the broker; raise PeerUnavailable if it is not installed."""
    program = shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), *ELSEWHERE)))
    if program is None:
        raise PeerUnavailable("mosquitto is not installed (apt-get install mosquitto)")
    # The path of a Unix socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory, port = Path(name), free_port()
        write_identities(directory)
        (directory / "conf").write_text(_configuration(directory, port))
        server = Server([program, "-c", str(directory / "conf")], directory / "log")
        try:
            server.wait_until(lambda: answers(port))
            yield Broker(server, directory, port)
        finally:
            server.stop()


def write_identities(directory: Path) -> None:
    """Write certificate and key of a server and of a device, each its own trust anchor."""
    for identity in ("server", "device"):
        _write_identity(directory, identity)


def identity_in(directory: Path) -> dict[str, str]:
    """Return the files of the identities as a load wants them."""
    names = {"server_pem": "server.pem", "device_pem": "device.pem", "device_key": "device.key"}
    return {name: str(directory / file) for name, file in names.items()}


def answers(port: int) -> bool:
    """Return whether a process listens on the port."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _configuration(directory: Path, port: int) -> str:
    lines = [
        *(["user root"] if os.geteuid() == 0 else []),
        "per_listener_settings false",
        "allow_anonymous true",
        # Nothing is dropped: a message that does not come back would end the run.
        "max_queued_messages 0",
        "set_tcp_nodelay true",
        f"listener 0 {directory / 's'}",
        f"listener {port} 127.0.0.1",
        f"cafile {directory / 'device.pem'}",
        f"certfile {directory / 'server.pem'}",
        f"keyfile {directory / 'server.key'}",
        "require_certificate true",
    ]
    return "\n".join(lines) + "\n"


def _write_identity(directory: Path, name: str) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"bench {name}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
