"""kill -9 at any moment: what was acknowledged exists and verifies, and the next start serves at once."""

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.clients.client import Created, client_of, create_from_csr, create_keys, describe, listed_ids
from tests.support.machine.soak import examples
from tests.support.services.forked import run_thingmint, start_thingmint
from tests.support.services.service import Service, running_service, start_service

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable

pytestmark = pytest.mark.soak
ROUNDS = examples(3, 20)
CLIENTS = 6


@pytest.fixture(scope="module")
def csr_pem() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "under fire")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    return (
        request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


class Load:
    """Clients that create certificates until the service is gone, and remember what was acknowledged."""

    def __init__(self, service: Service, csr_pem: str) -> None:
        self.acknowledged: list[Created] = []
        self.under_way = 0
        self._service, self._csr_pem = service, csr_pem
        self._lock, self._enough = threading.Lock(), threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._clients = [self._pool.submit(self._create_until_gone, number) for number in range(CLIENTS)]

    def wait_for(self, count: int) -> None:
        while len(self.acknowledged) < count and not all(client.done() for client in self._clients):
            self._enough.wait(0.05)
            self._enough.clear()

    def finish(self) -> None:
        self._pool.shutdown()
        for client in self._clients:
            client.result()
        self._service.close_clients()

    def _create_until_gone(self, number: int) -> None:
        client = client_of(self._service)
        while True:
            try:
                created = create_keys(client) if number == 0 else create_from_csr(client, self._csr_pem)
            except ServiceUnreachable:
                with self._lock:
                    self.under_way += 1
                return
            with self._lock:
                self.acknowledged.append(created)
            self._enough.set()


def test_what_was_acknowledged_survives_kill_after_kill(tmp_path: Path, csr_pem: str) -> None:
    data_dir = tmp_path / "data"
    acknowledged: list[Created] = []
    lost_in_flight = 0
    for number in range(ROUNDS):
        service = start_service(data_dir)
        load = Load(service, csr_pem)
        load.wait_for(20 + 15 * number)
        service.kill()
        load.finish()
        acknowledged += load.acknowledged
        lost_in_flight += load.under_way
    with running_service(data_dir) as service:
        client = client_of(service)
        ids = listed_ids(client)
        assert len(set(ids)) == len(ids)
        assert {created.certificate_id for created in acknowledged} <= set(ids)
        # Certificates that nobody was told of are at most the requests that were in flight at a crash.
        assert len(ids) - len(acknowledged) <= lost_in_flight
        for created in acknowledged[:: max(1, len(acknowledged) // 25)]:
            assert describe(client, created.certificate_id)["certificatePem"] == created.certificate_pem
    issuer = x509.load_pem_x509_certificate((data_dir / "device-ca.pem").read_bytes())
    for created in acknowledged:
        x509.load_pem_x509_certificate(created.certificate_pem.encode()).verify_directly_issued_by(issuer)


def test_first_start_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    """Whatever a killed first start left behind, the next one completes it without making a second authority."""
    data_dir = tmp_path / "data"
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    delay = 0.06
    roots: set[bytes] = set()
    while delay < 0.6:  # with its imports done, a start takes some tenths of a second
        words = ("serve", "--data-dir", str(data_dir), "--api", "127.0.0.1:0", "--key-reserve", "0")
        process = start_thingmint(*words, environment=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)  # the moment of the cut is what is varied; no event stands for it
        process.kill()
        process.wait()
        root = data_dir / "ca.pem"
        if root.exists():
            roots.add(root.read_bytes())
        delay += 0.06
    with running_service(data_dir) as service:
        created = create_keys(client_of(service))
        roots.add((data_dir / "ca.pem").read_bytes())
    assert len(roots) == 1
    verified = subprocess.run(
        ["openssl", "verify", "-CAfile", str(data_dir / "device-ca.pem")],
        input=created.certificate_pem,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr


def test_termination_finishes_what_is_in_flight(tmp_path: Path, csr_pem: str) -> None:
    service = start_service(tmp_path / "data", key_reserve=0)
    load = Load(service, csr_pem)
    load.wait_for(30)
    assert service.terminate() == 0
    load.finish()
    with running_service(tmp_path / "data") as again:
        ids = listed_ids(client_of(again))
    # Nothing was cut off between its commit and its answer.
    assert sorted(ids) == sorted(created.certificate_id for created in load.acknowledged)


def test_whole_process_group_may_be_told_to_stop(tmp_path: Path) -> None:
    service = start_service(tmp_path / "data")
    client = client_of(service)
    create_keys(client)
    children = subprocess.run(
        ["ps", "--ppid", str(service.process.pid), "-o", "pid="], capture_output=True, text=True, check=True
    ).stdout.split()
    assert children
    service.close_clients()
    for pid in (*children, str(service.process.pid)):
        os.kill(int(pid), 15)
    assert service.process.wait(60) == 0
    assert all(not Path(f"/proc/{pid}").exists() for pid in children)


def test_second_service_on_the_same_directory_refuses_to_start(tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service:
        second = run_thingmint("serve", "--data-dir", str(service.data_dir), "--api", "127.0.0.1:0")
        assert second.returncode == 1
        assert f"is in use by thingmint serve (process {service.process.pid})" in second.stderr
        create_keys(client_of(service))


def test_refusals_reach_the_client_of_the_tests(tmp_path: Path) -> None:
    """The load above counts only what was acknowledged, so its client must not swallow refusals."""
    with running_service(tmp_path / "data") as service, pytest.raises(ServiceRefused, match="InvalidRequestException"):
        create_from_csr(client_of(service), "not a request")
