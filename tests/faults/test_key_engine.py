"""The key engine of a running service: what its log and metrics tell, and what a fault does to callers."""

import json
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.support.certificates.ifma import failing, require_ifma
from tests.support.clients.client import client_of, create_keys
from tests.support.machine.wire import answers, exchange
from tests.support.services.service import Service, ended_start, running_service

NOT_INSTALLED = "raise ModuleNotFoundError"


def metric(service: Service, name: str) -> list[str]:
    """Return the lines of a metric."""
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    [answer] = answers(exchange(service.endpoints.api_port, request))
    return [line for line in answer.body.decode().splitlines() if re.match(rf"{name}\b", line)]


def logged(service: Service, event: str) -> list[dict[str, object]]:
    """Return the lines of the log with an event that begins so."""
    lines = [json.loads(line) for line in service.log_file.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if str(line["event"]).startswith(event)]


def assert_new_keys_work(service: Service, count: int) -> None:
    """Fail unless OpenSSL's full validation accepts each new key, and its certificate is its own."""
    iot = client_of(service)
    for _ in range(count):
        created = create_keys(iot)
        key = load_pem_private_key(str(created.private_key_pem).encode(), None)
        certificate = x509.load_pem_x509_certificate(created.certificate_pem.encode())
        assert certificate.public_key() == key.public_key()


def test_engine_is_told_at_the_start_and_makes_the_keys(tmp_path: Path) -> None:
    require_ifma()
    options = ("--insecure-http", "--log-format", "json", "--key-engine", "auto")
    with running_service(tmp_path / "data", *options, key_reserve=0) as service:
        [line] = logged(service, "key engine")
        assert (line["engine"], line["reason"]) == ("ifma", "")
        assert metric(service, "thingmint_key_engine") == ['thingmint_key_engine{engine="ifma"} 1.0']
        assert metric(service, "thingmint_key_engine_faults_total") == ["thingmint_key_engine_faults_total 0.0"]
        assert_new_keys_work(service, 5)


def test_auto_without_the_package_is_openssl_and_the_log_says_why(tmp_path: Path) -> None:
    (tmp_path / "thingmint_ifma.py").write_text(NOT_INSTALLED)
    environment = {"PYTHONPATH": str(tmp_path), "THINGMINT_KEY_ENGINE": "auto"}
    options = ("--insecure-http", "--log-format", "json")
    with running_service(tmp_path / "data", *options, environment=environment, key_reserve=0) as service:
        [line] = logged(service, "key engine")
        assert (line["engine"], line["reason"]) == ("openssl", "thingmint-ifma is not installed")
        assert metric(service, "thingmint_key_engine") == ['thingmint_key_engine{engine="openssl"} 1.0']
        assert_new_keys_work(service, 1)


def test_engine_that_is_demanded_and_absent_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "thingmint_ifma.py").write_text(NOT_INSTALLED)
    said = ended_start(tmp_path / "data", "--key-engine", "ifma", environment={"PYTHONPATH": str(tmp_path)})
    assert "key_engine is ifma, but thingmint-ifma is not installed" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("fault", "after"), [("a crash", 100), ("everything is prime", 100)])
def test_no_caller_notices_a_fault_of_the_engine_and_no_bad_key_leaves(
    tmp_path: Path, faulty_package: Path, fault: str, after: int
) -> None:
    environment = {"PYTHONPATH": str(failing(faulty_package, fault, after, tmp_path))}
    options = ("--insecure-http", "--log-format", "json", "--key-engine", "auto", "--key-workers", "1")
    with running_service(tmp_path / "data", *options, environment=environment, key_reserve=0) as service:
        assert metric(service, "thingmint_key_engine") == ['thingmint_key_engine{engine="ifma"} 1.0']
        while metric(service, "thingmint_key_engine_faults_total") == ["thingmint_key_engine_faults_total 0.0"]:
            assert_new_keys_work(service, 5)
        assert metric(service, "thingmint_key_engine") == ['thingmint_key_engine{engine="openssl"} 1.0']
        assert_new_keys_work(service, 2)
        [line] = logged(service, "key engine ifma is disabled")
        assert line["level"] == "error"
        assert "PRIVATE KEY" not in service.log_file.read_text()
