"""OpenSSL judges what was issued, and the service's own TLS; it knows nothing of either."""

import socket
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.clients.aws import Live
from tests.support.machine.required import required_program

HANDSHAKE_SECONDS = 30
END = "-----END CERTIFICATE-----\n"


def openssl(*arguments: str | Path, ok: bool = True) -> str:
    """Return everything that the command says; fail unless it ends as expected."""
    finished = subprocess.run(
        [required_program("openssl"), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = finished.stdout + finished.stderr
    assert (finished.returncode == 0) is ok, said
    return said


def test_the_certificate_verifies_strictly_as_a_clients(live: Live, identity_files: Path) -> None:
    certificate = identity_files / "cert.pem"

    said = openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", live.device_ca_file, certificate)

    assert said == f"{certificate}: OK\n"


def test_the_certificate_does_not_verify_as_a_servers(live: Live, identity_files: Path) -> None:
    certificate = identity_files / "cert.pem"

    by_brokers = openssl("verify", "-purpose", "sslserver", "-CAfile", live.device_ca_file, certificate, ok=False)
    by_clients = openssl(
        *("verify", "-purpose", "sslserver", "-CAfile", live.ca_file, "-untrusted", live.device_ca_file, certificate),
        ok=False,
    )

    assert "verification failed" in by_brokers
    assert "verification failed" in by_clients


def test_the_private_key_is_sound(identity_files: Path) -> None:
    assert "RSA key ok" in openssl("rsa", "-check", "-noout", "-in", identity_files / "key.pem")


def test_the_public_key_is_the_same_in_all_three(identity_files: Path) -> None:
    of_certificate = openssl("x509", "-noout", "-pubkey", "-in", identity_files / "cert.pem")
    of_private_key = openssl("pkey", "-pubout", "-in", identity_files / "key.pem")

    assert of_certificate == of_private_key == (identity_files / "pub.pem").read_text()


def test_the_certificate_reads_as_awss_do(identity_files: Path) -> None:
    text = openssl("x509", "-noout", "-text", "-nameopt", "oneline,show_type", "-in", identity_files / "cert.pem")
    lines = [line.strip() for line in text.splitlines()]

    assert "Version: 3 (0x2)" in lines
    assert "Subject: CN = UTF8STRING:AWS IoT Certificate" in lines
    assert "Not After : Dec 31 23:59:59 2049 GMT" in lines
    assert "Public-Key: (2048 bit)" in lines
    assert "Exponent: 65537 (0x10001)" in lines
    assert lines[lines.index("X509v3 Basic Constraints: critical") + 1] == "CA:FALSE"
    assert lines[lines.index("X509v3 Key Usage: critical") + 1] == "Digital Signature"
    assert [line.removesuffix(" critical").removesuffix(":") for line in lines if line.startswith("X509v3 ")] == [
        "X509v3 extensions",
        "X509v3 Authority Key Identifier",
        "X509v3 Subject Key Identifier",
        "X509v3 Basic Constraints",
        "X509v3 Key Usage",
    ]


def s_client(live: Live, *options: str, ok: bool = True) -> str:
    """Connect to the API, verifying its certificate and name, and return what is said of the session."""
    address = urllib.parse.urlsplit(live.service.endpoints.api)
    assert address.port is not None
    return openssl(
        *("s_client", "-connect", f"127.0.0.1:{address.port}", "-CAfile", live.ca_file, "-verify_return_error"),
        *("-verify_hostname", "localhost", "-brief", *options),
        ok=ok,
    )


@pytest.mark.parametrize(("option", "version"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_the_api_verifies_and_speaks_the_versions_of_today(live: Live, option: str, version: str) -> None:
    said = s_client(live, option)

    assert f"Protocol version: {version}" in said
    assert "Verification: OK" in said
    assert "Verified peername: localhost" in said


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_the_api_refuses_the_versions_of_yesterday(live: Live, option: str) -> None:
    said = s_client(live, option, "-cipher", "DEFAULT:@SECLEVEL=0", ok=False)

    # It is the server that ends it; a client that refuses by itself says "no protocols available".
    assert "alert protocol version" in said or "unexpected eof while reading" in said
    assert "Protocol version" not in said


def test_the_api_does_not_verify_against_another_authority(live: Live, tmp_path: Path) -> None:
    address = urllib.parse.urlsplit(live.service.endpoints.api)
    issuing_ca_alone = tmp_path / "issuing-ca.pem"
    issuing_ca_alone.write_text(live.device_ca_file.read_text().partition(END)[0] + END)

    said = openssl(
        *("s_client", "-connect", f"127.0.0.1:{address.port}", "-CAfile", issuing_ca_alone),
        *("-verify_return_error", "-brief"),
        ok=False,
    )

    assert "verify error" in said


@contextmanager
def impostor(live: Live, identity: Path) -> Iterator[int]:
    """Serve TLS with a device's certificate, with the CA certificates behind it, and yield the port."""
    chain = identity / "chain.pem"
    chain.write_text((identity / "cert.pem").read_text() + live.device_ca_file.read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, identity / "key.pem")

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.settimeout(HANDSHAKE_SECONDS)
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            # The client has refused the handshake, or refuses it after it: that is the point.
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(HANDSHAKE_SECONDS)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def test_a_device_cannot_pass_for_the_service(live: Live, identity_files: Path) -> None:
    # Names are not checked, so that nothing but the purpose of the certificate can be the reason.
    victim = ssl.create_default_context(cafile=live.ca_file)
    victim.check_hostname = False

    with (
        impostor(live, identity_files) as port,
        socket.create_connection(("127.0.0.1", port), HANDSHAKE_SECONDS) as connection,
        pytest.raises(ssl.SSLCertVerificationError) as caught,
    ):
        victim.wrap_socket(connection).close()

    assert caught.value.verify_message
