"""Who gets through the handshake, what it tells, and what a refused client is told: real TLS clients are the judges."""

import contextlib
import datetime as dt
import socket
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto
from tests.support.devices.device_identities import Identity, client_context, new_identity, rsa_key, server_identity
from tests.support.devices.tls_echo import EchoServer, echo_server, tls_context_of
from tests.support.machine.loop_thread import GENEROUS, LOOPS
from tests.support.machine.required import required_program

from thingmint.mqtt.transport.tls import device_tls_context

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
TOO_MANY_ISSUERS = 12
HANDSHAKE_RECORD = 22


@pytest.fixture(params=sorted(LOOPS))
def server(request: pytest.FixtureRequest) -> Iterator[EchoServer]:
    with echo_server(loop_name=str(request.param)) as running:
        yield running


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    assert isinstance(request.param, ssl.TLSVersion)
    return request.param


@contextlib.contextmanager
def connected(
    server: EchoServer, context: ssl.SSLContext, name: str | None = "localhost", session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS) as plain:
        if name is None:
            context.check_hostname = False
        with context.wrap_socket(plain, server_hostname=name, session=session) as wrapped:
            yield wrapped


def is_echoed(connection: ssl.SSLSocket) -> bool:
    connection.sendall(b"hello")
    return connection.recv(5) == b"hello"


def refusal(server: EchoServer, context: ssl.SSLContext) -> str:
    """Return the alert that ended the handshake. A TLS 1.3 client learns of it when it reads."""
    with pytest.raises(ssl.SSLError) as refused, connected(server, context) as connection:
        connection.recv(1)
    return str(refused.value.reason)


def unknown_authority() -> Identity:
    return new_identity("nobody's authority", is_authority=True)


IDENTITIES = {
    "self-signed": lambda: new_identity(),
    "of an unknown authority": lambda: new_identity(issuer=unknown_authority()),
    "expired": lambda: new_identity(valid_for=dt.timedelta(days=-1)),
    "with an RSA key": lambda: new_identity(key=rsa_key()),
    "with a P-384 key": lambda: new_identity(key=ec.generate_private_key(ec.SECP384R1())),
}


@pytest.mark.parametrize("kind", sorted(IDENTITIES))
def test_any_certificate_gets_through_and_is_told_in_full(
    server: EchoServer, version: ssl.TLSVersion, tmp_path: Path, kind: str
) -> None:
    identity = IDENTITIES[kind]()

    with connected(server, client_context(tmp_path, identity, version=version)) as connection:
        assert is_echoed(connection)
        assert server.last_peer.leaf == identity.der
        assert len(server.last_peer.chain) == 1 + len(identity.issuers)
        assert server.last_peer.chain[0] == identity.der


def test_issuers_that_the_client_shows_are_told_in_its_order(server: EchoServer, tmp_path: Path) -> None:
    root = unknown_authority()
    intermediate = new_identity("intermediate", issuer=root, is_authority=True)
    device = new_identity(issuer=intermediate)

    with connected(server, client_context(tmp_path, device)) as connection:
        assert is_echoed(connection)
        assert server.last_peer.chain == (device.der, intermediate.der, root.der)


def test_client_without_a_certificate_is_told_what_is_missing(
    server: EchoServer, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    expected = {
        ssl.TLSVersion.TLSv1_2: "SSLV3_ALERT_HANDSHAKE_FAILURE",
        ssl.TLSVersion.TLSv1_3: "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    }

    assert refusal(server, client_context(tmp_path, None, version=version)) == expected[version]
    assert server.protocols == []


def test_chain_that_is_very_long_is_refused(server: EchoServer, version: ssl.TLSVersion, tmp_path: Path) -> None:
    device = unknown_authority()
    for number in range(TOO_MANY_ISSUERS):
        device = new_identity(f"authority {number}", issuer=device, is_authority=True)

    assert refusal(server, client_context(tmp_path, device, version=version)).endswith("ALERT_UNKNOWN_CA")
    assert server.protocols == []


def speak(client: SSL.Connection) -> None:
    client.do_handshake()
    client.recv(1)


def test_certificate_of_somebody_else_is_refused(server: EchoServer, version: ssl.TLSVersion) -> None:
    mine = new_identity()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version is ssl.TLSVersion.TLSv1_2:
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
    shown = crypto.X509.from_cryptography(mine.certificate)
    with warnings.catch_warnings(action="ignore"):
        context.use_certificate(shown)
        context.use_privatekey(crypto.PKey.from_cryptography_key(mine.key))
        # OpenSSL checks that they are a pair, and holds this very object: now it shows a key that is not ours.
        shown.set_pubkey(crypto.PKey.from_cryptography_key(new_identity().key))

    with socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS) as plain:
        plain.settimeout(None)
        client = SSL.Connection(context, plain)
        client.set_connect_state()
        with pytest.raises(SSL.Error, match="decrypt error"):
            speak(client)

    assert server.protocols == []


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (None, None),
        (["x-amzn-mqtt-ca"], "x-amzn-mqtt-ca"),
        (["http/1.1", "x-amzn-mqtt-ca"], "x-amzn-mqtt-ca"),
        (["mqtt"], None),
        (["h2", "http/1.1"], None),
    ],
)
def test_alpn_is_selected_if_known_and_ignored_otherwise(
    server: EchoServer, tmp_path: Path, offered: list[str] | None, selected: str | None
) -> None:
    with connected(server, client_context(tmp_path, new_identity(), alpn=offered)) as connection:
        assert is_echoed(connection)
        assert connection.selected_alpn_protocol() == selected


@pytest.mark.parametrize("name", ["localhost", None])
def test_server_name_is_told_and_may_be_missing(server: EchoServer, tmp_path: Path, name: str | None) -> None:
    with connected(server, client_context(tmp_path, new_identity()), name) as connection:
        assert is_echoed(connection)
        assert server.last_peer.server_name == name


def test_session_is_not_resumed(server: EchoServer, version: ssl.TLSVersion, tmp_path: Path) -> None:
    context = client_context(tmp_path, new_identity(), version=version)
    with connected(server, context) as first:
        assert is_echoed(first)
        session = first.session

    with connected(server, context, session=session) as second:
        assert is_echoed(second)
        assert not second.session_reused
        assert len(server.last_peer.chain) == 1


def test_renewed_certificate_is_shown_to_new_connections_only(server: EchoServer, tmp_path: Path) -> None:
    device, renewed = new_identity(), server_identity("renewed")
    old_context = client_context(tmp_path, device)
    with connected(server, old_context) as old:
        server.thread.call(lambda: server.listener.use_tls_context(tls_context_of(renewed)))

        with connected(server, client_context(tmp_path, device, server=renewed)) as new:
            assert is_echoed(new)
            assert new.getpeercert(binary_form=True) == renewed.der
        assert is_echoed(old)
        with pytest.raises(ssl.SSLCertVerificationError), connected(server, old_context):
            pass


def test_issuer_of_the_servers_certificate_is_sent_along(tmp_path: Path) -> None:
    root = unknown_authority()
    issuer = new_identity("issuer", issuer=root, is_authority=True)
    gateway = new_identity("gateway", issuer=issuer)
    context = client_context(tmp_path, new_identity(), server=root)
    with echo_server() as server:
        server.thread.call(lambda: server.listener.use_tls_context(tls_context_of(gateway)))

        with connected(server, context, name=None) as connection:
            assert is_echoed(connection)


def test_key_that_does_not_belong_to_the_certificate_makes_no_context() -> None:
    with pytest.raises(ValueError, match="does not belong"):
        device_tls_context([server_identity().certificate], ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ValueError, match="does not belong"):
        device_tls_context([], ec.generate_private_key(ec.SECP256R1()))


def s_client(server: EchoServer, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run OpenSSL's client, which sends one line and waits for the server to close."""
    return subprocess.run(
        [
            required_program("openssl"),
            "s_client",
            "-connect",
            f"127.0.0.1:{server.port}",
            "-ign_eof",
            *map(str, arguments),
        ],
        input="C is for close\n",
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        check=False,
    )


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("name", [("-servername", "127.0.0.1"), ("-noservername",), ("-servername", "localhost")])
def test_openssl_is_served_whatever_name_it_calls(
    server: EchoServer, tmp_path: Path, flag: str, name: tuple[str, ...]
) -> None:
    certificate, key = new_identity().files(tmp_path)

    finished = s_client(server, flag, *name, "-cert", certificate, "-key", key)

    assert "C is for close" in finished.stdout, finished.stderr
    assert finished.returncode == 0
    assert server.last_peer.server_name == (name[1] if len(name) > 1 else None)


def interactive(server: EchoServer, tmp_path: Path, flag: str, command: str) -> str:
    """Give OpenSSL's client a command, then a line to send; return what it says until the line has come back."""
    certificate, key = new_identity().files(tmp_path)
    arguments = [required_program("openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", flag]
    said = ""
    with subprocess.Popen(
        [*arguments, "-cert", certificate, "-key", key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        # A command is seen at the beginning of what is read at once, so the line must not come with it.
        client.stdin.write(f"{command}\n")
        client.stdin.flush()
        for line in client.stdout:
            said += line
            if line == "hello again\n":
                break
            if line in ("KEYUPDATE\n", "RENEGOTIATING\n"):
                client.stdin.write("hello again\n")
                client.stdin.flush()
        client.stdin.close()
    return said


@pytest.mark.parametrize("command", ["k", "K"])
def test_keys_may_be_updated(server: EchoServer, tmp_path: Path, command: str) -> None:
    said = interactive(server, tmp_path, "-tls1_3", command)

    assert "KEYUPDATE" in said
    assert said.endswith("hello again\n")


def test_renegotiation_is_refused(server: EchoServer, tmp_path: Path) -> None:
    said = interactive(server, tmp_path, "-tls1_2", "R")

    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said


def test_openssl_without_a_certificate_is_refused(server: EchoServer) -> None:
    finished = s_client(server, "-tls1_3")

    assert "C is for close" not in finished.stdout
    assert "certificate required" in finished.stderr


def test_tls_1_1_is_refused_with_an_alert(server: EchoServer) -> None:
    finished = s_client(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")

    assert "alert protocol version" in finished.stderr
    assert server.protocols == []


GARBAGE = {
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "MQTT without TLS": b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test",
    "zeros": bytes(100),
    "no hello": b"\x16\x03\x01\x00\x05hello",
}


@pytest.mark.parametrize("kind", sorted(GARBAGE))
def test_what_is_no_client_hello_ends_the_connection(server: EchoServer, kind: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS) as plain:
        plain.sendall(GARBAGE[kind])
        while plain.recv(1024):
            pass

    assert server.protocols == []


def send_endless_hello(plain: socket.socket) -> None:
    record = bytes((HANDSHAKE_RECORD, 3, 1)) + (16_000).to_bytes(2, "big")
    hello = bytes((1,)) + (100_000).to_bytes(3, "big")
    plain.sendall(record + hello + bytes(16_000 - len(hello)))
    while True:
        plain.sendall(record + bytes(16_000))


def test_hello_without_end_is_cut_off(server: EchoServer) -> None:
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS)
    with plain, pytest.raises(ConnectionError):
        send_endless_hello(plain)

    assert server.protocols == []
