"""Brokers and proxies that were given a list, or ask by OCSP, refuse devices whose certificates are revoked."""

import contextlib
import datetime as dt
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.brokers.mosquitto import mosquitto_program
from tests.support.machine.loop_thread import GENEROUS
from tests.support.machine.required import require, required_program
from tests.support.services.published import Device, Published, free_port, publishing_service, until

# Debian installs servers where only root's PATH leads.
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin")


@dataclass(frozen=True)
class Site:
    """A service, one device that is good and one that is revoked, and a server's own certificate in ``server.pem``."""

    published: Published
    good: Device
    revoked: Device

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.published.folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("relying")
    # Servers that give up their rights must reach the files.
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    with publishing_service(folder) as published:
        found = Site(published, published.device("good"), published.device("revoked"))
        published.revoke(found.revoked, "keyCompromise")
        until(lambda: published.listed(found.revoked))
        published.write_files()
        write_server_identity(folder)
        yield found


def write_server_identity(folder: Path) -> None:
    """Write a self-signed certificate for 127.0.0.1 and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=localhost")
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem)


def server_program(name: str) -> str:
    """Return the path of a server; skip or fail the test if it is not installed."""
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_ELSEWHERE)))
    require(path, f"{name} is not installed")
    assert path is not None
    return path


@contextlib.contextmanager
def running(port: int, *command: str | Path) -> Iterator[None]:
    """Run a server until the block ends; yield when it listens."""
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL) as server:
        try:
            until(lambda: server.poll() is not None or listens(port))
            assert server.poll() is None
            yield
        finally:
            server.terminate()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=GENEROUS):
        return True
    return False


def answer_to(site: Site, port: int, device: Device, request: bytes) -> bytes:
    """Return what a server says to a device over TLS; nothing if it ends the connection instead."""
    context = ssl.create_default_context(cafile=str(site.folder / "server.pem"))
    context.load_cert_chain(device.certificate_file, device.key_file)
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=GENEROUS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request)
        return connection.recv(4096)
    return b""


HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
MQTT_CONNECT = bytes.fromhex("100d00044d5154540402000a000161")
MQTT_ACCEPTED = bytes.fromhex("20020000")


def test_mosquitto_with_crlfile_refuses_revoked_devices(site: Site) -> None:
    port = free_port()
    lines = [
        *(["user root"] if os.geteuid() == 0 else []),
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        f"certfile {site.folder / 'server.pem'}",
        f"keyfile {site.folder / 'server.pem'}",
        f"cafile {site.folder / 'ca.pem'}",
        f"crlfile {site.folder / 'crl.pem'}",
        "require_certificate true",
    ]
    (site.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    with running(port, mosquitto_program(), "-c", site.folder / "mosquitto.conf"):
        assert answer_to(site, port, site.good, MQTT_CONNECT) == MQTT_ACCEPTED
        assert answer_to(site, port, site.revoked, MQTT_CONNECT) == b""


@contextlib.contextmanager
def nginx(site: Site, *lines: str) -> Iterator[int]:
    """Run nginx as a TLS server with these lines in its configuration; yield its port."""
    port = free_port()
    directory = site.folder / f"nginx-{port}"
    directory.mkdir()
    temporary = [f"{each}_temp_path {directory};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    server = [f"listen 127.0.0.1:{port} ssl;", *lines, 'return 200 "served";']
    text = [
        *(["user root;"] if os.geteuid() == 0 else []),
        "daemon off;",
        f"pid {directory}/pid;",
        f"error_log {directory}/error.log info;",
        "events {}",
        "http { access_log off;",
        *temporary,
        "server {",
        *server,
        "} }",
    ]
    (directory / "conf").write_text("\n".join(text))
    with running(port, server_program("nginx"), "-c", directory / "conf", "-p", directory):
        yield port


def own_identity(site: Site) -> tuple[str, ...]:
    return f"ssl_certificate {site.folder}/server.pem;", f"ssl_certificate_key {site.folder}/server.pem;"


def test_nginx_with_lists_of_the_whole_chain_refuses_revoked_devices(site: Site) -> None:
    verifying = (
        f"ssl_client_certificate {site.folder}/ca.pem;",
        f"ssl_crl {site.folder}/crl.pem;",
        "ssl_verify_client on;",
        "ssl_verify_depth 2;",
    )
    with nginx(site, *own_identity(site), *verifying) as port:
        assert b"served" in answer_to(site, port, site.good, HTTP_REQUEST)
        assert b"The SSL certificate error" in answer_to(site, port, site.revoked, HTTP_REQUEST)


def test_nginx_that_asks_by_ocsp_refuses_revoked_devices(site: Site) -> None:
    verifying = (
        f"ssl_client_certificate {site.folder}/ca.pem;",
        "ssl_verify_client on;",
        "ssl_verify_depth 2;",
        # The issuer's own certificate names no responder.
        "ssl_ocsp leaf;",
    )
    with nginx(site, *own_identity(site), *verifying) as port:
        assert b"served" in answer_to(site, port, site.good, HTTP_REQUEST)
        assert b"The SSL certificate error" in answer_to(site, port, site.revoked, HTTP_REQUEST)


def test_nginx_staples_the_status_of_its_own_certificate(site: Site) -> None:
    chain = site.folder / "chain.pem"
    chain.write_bytes(site.good.certificate_file.read_bytes() + (site.folder / "issuer.pem").read_bytes())
    stapling = (
        f"ssl_certificate {chain};",
        f"ssl_certificate_key {site.good.key_file};",
        f"ssl_trusted_certificate {site.folder}/ca.pem;",
        "ssl_stapling on;",
        "ssl_stapling_verify on;",
    )
    with nginx(site, *stapling) as port:

        def stapled() -> str:
            return subprocess.run(
                [required_program("openssl"), "s_client", "-status", "-connect", f"127.0.0.1:{port}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            ).stdout

        # nginx asks for the status when the first client wants to know it.
        until(lambda: "OCSP Response Status: successful" in stapled())
        assert "Cert Status: good" in stapled()


def test_haproxy_with_lists_of_the_whole_chain_refuses_revoked_devices(site: Site) -> None:
    port = free_port()
    verifying = (
        f"crt {site.folder}/server.pem ca-file {site.folder}/ca.pem crl-file {site.folder}/crl.pem verify required"
    )
    lines = [
        "defaults",
        "  mode http",
        "  timeout client 30s",
        "frontend devices",
        f"  bind 127.0.0.1:{port} ssl {verifying}",
        '  http-request return status 200 content-type text/plain string "served"',
    ]
    (site.folder / "haproxy.cfg").write_text("\n".join(lines) + "\n")
    with running(port, server_program("haproxy"), "-db", "-f", site.folder / "haproxy.cfg"):
        assert b"served" in answer_to(site, port, site.good, HTTP_REQUEST)
        assert answer_to(site, port, site.revoked, HTTP_REQUEST) == b""
