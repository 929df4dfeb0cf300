"""Clients that know RSA only connect to both ports and verify what they are shown; others still get ECDSA."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.support.devices.device_identities import new_identity, rsa_key
from tests.support.machine.loop_thread import GENEROUS
from tests.support.machine.required import required_program
from tests.support.services.service import Service, running_service

RSA_ONLY = (
    "-tls1_2",
    "-cipher",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "-sigalgs",
    "RSA+SHA256:RSA+SHA384:RSA+SHA512",
)
PORTS = ("api", "devices")


@pytest.fixture(scope="module", params=["ecdsa-p256", "rsa-2048"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data_dir = tmp_path_factory.mktemp("service") / "data"
    with running_service(data_dir, "--ca-key-type", str(request.param), key_reserve=0) as running:
        yield running


def port_of(service: Service, port: str) -> int:
    return service.endpoints.mqtt_port if port == "devices" else service.endpoints.api_port


def handshake(service: Service, directory: Path, port: str, *arguments: str) -> str:
    """Return what OpenSSL's client says, which fails if it cannot verify the server."""
    certificate, key = new_identity(key=rsa_key() if RSA_ONLY[3] in arguments else None).files(directory)
    program = (required_program("openssl"), "s_client", "-connect", f"localhost:{port_of(service, port)}")
    verified = ("-CAfile", str(service.data_dir / "ca.pem"), "-verify_return_error", "-verify_hostname", "localhost")
    shown = ("-cert", str(certificate), "-key", str(key), "-showcerts")
    finished = subprocess.run(
        [*program, *verified, *shown, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=GENEROUS
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.decode()


def chain_in(said: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(said.encode())


@pytest.mark.parametrize("port", PORTS)
def test_rsa_only_client_connects_and_verifies_without_ecdsa(service: Service, tmp_path: Path, port: str) -> None:
    said = handshake(service, tmp_path, port, *RSA_ONLY)

    assert "Cipher is ECDHE-RSA-AES128-GCM-SHA256" in said
    assert "Verify return code: 0 (ok)" in said
    for certificate in chain_in(said):
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048
        assert "RSA" in certificate.signature_algorithm_oid._name.upper()


@pytest.mark.parametrize("port", PORTS)
def test_device_with_an_ecdsa_key_and_an_rsa_suite_connects(service: Service, tmp_path: Path, port: str) -> None:
    # Tasmota on the ESP8266 is such a device.
    said = handshake(service, tmp_path, port, *RSA_ONLY[:3])
    assert "Cipher is ECDHE-RSA-AES128-GCM-SHA256" in said
    assert "Verify return code: 0 (ok)" in said


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_client_that_knows_ecdsa_gets_ecdsa(service: Service, tmp_path: Path, port: str, version: str) -> None:
    rsa_first = ("-sigalgs", "RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256")
    for arguments in ((version,), (version, *rsa_first)):
        said = handshake(service, tmp_path, port, *arguments)
        assert isinstance(chain_in(said)[0].public_key(), ec.EllipticCurvePublicKey)


@pytest.mark.parametrize("port", PORTS)
def test_client_that_trusts_the_first_root_only_is_served_as_before(
    service: Service, tmp_path: Path, port: str
) -> None:
    root = (service.data_dir / "certificates" / "root-ca.pem").read_text()
    context = ssl.create_default_context(cadata=root)
    context.load_cert_chain(*new_identity().files(tmp_path))
    with (
        socket.create_connection(("localhost", port_of(service, port)), timeout=GENEROUS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        assert wrapped.version() == "TLSv1.3"


def test_trust_anchor_is_the_same_after_a_restart(tmp_path: Path) -> None:
    anchors = set()
    for _ in range(2):
        with running_service(tmp_path / "data", key_reserve=0) as service:
            anchors.add((service.data_dir / "ca.pem").read_bytes())
    assert len(anchors) == 1
    assert anchors.pop().count(b"BEGIN CERTIFICATE") == 2
