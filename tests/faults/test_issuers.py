"""Issuers are created, certified elsewhere, rotated and retired while devices are served, on one node and on three."""

import json
import os
import random
import shutil
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.certificates.softhsm import new_softhsm
from tests.support.clients.aws import Live
from tests.support.clients.client import Created, client_of, create_from_csr
from tests.support.databases.database import tables_of
from tests.support.devices.live_devices import Device, new_credentials
from tests.support.machine.required import required_program
from tests.support.machine.soak import ONE_ENGINE
from tests.support.services.forked import run_thingmint, start_thingmint
from tests.support.services.service import Service, running_service

from thingmint.cli.connection import ServiceRefused

FOLLOWED_WITHIN_SECONDS = 60.0
PAUSE_SECONDS = 0.02


@pytest.fixture(params=["sqlite", "postgresql"])
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The flags that choose each engine in turn."""
    return () if request.param == "sqlite" else ("--database-url", request.getfixturevalue("migrated_postgresql_url"))


@pytest.fixture(params=ONE_ENGINE)
def options_of_one(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The flags that choose the engine of a test that is about keys and certificates."""
    return () if request.param == "sqlite" else ("--database-url", request.getfixturevalue("migrated_postgresql_url"))


@pytest.fixture(scope="module")
def csr_pem() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def issuer(
    data_dir: Path, *words: str, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `thingmint issuer` on the data directory."""
    return run_thingmint(
        "issuer", *words, "--data-dir", str(data_dir), environment={**os.environ, **(environment or {})}
    )


def done(ended: "subprocess.CompletedProcess[str]") -> str:
    """Return the id that a command has printed."""
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()[0]


def statuses(data_dir: Path, *options: str) -> list[str]:
    rows = json.loads(issuer(data_dir, "list", "--json", *options).stdout)
    return [row["status"] for row in rows]


def issuer_of(created: Created, data_dir: Path) -> str:
    """Return the SHA-256 of the issuer in device-ca.pem that has signed the certificate."""
    certificate = x509.load_der_x509_certificate(created.der)
    for each in x509.load_pem_x509_certificates((data_dir / "device-ca.pem").read_bytes()):
        if each.subject == certificate.issuer:
            certificate.verify_directly_issued_by(each)
            return each.fingerprint(hashes.SHA256()).hex()
    raise AssertionError("device-ca.pem does not hold the issuer")


def is_verified(data_dir: Path, created: Created) -> bool:
    """Return whether OpenSSL verifies a device as a broker would."""
    command = [required_program("openssl"), "verify", "-x509_strict", "-CAfile", str(data_dir / "device-ca.pem")]
    judged = subprocess.run(command, input=created.certificate_pem.encode(), check=False, capture_output=True)
    return judged.returncode == 0


class Load:
    """A thread for each node, which issues and pauses briefly; `stop` raises what went wrong with one of them."""

    def __init__(self, services: Sequence[Service], csr_pem: str) -> None:
        self._csr_pem = csr_pem
        self._stopped = threading.Event()
        self.created: list[list[Created]] = [[] for _ in services]
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(service, created))
            for service, created in zip(services, self.created, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for_issuer(self, issuer_id: str, data_dirs: Sequence[Path]) -> None:
        """Return when each node issues with this issuer."""
        end = time.monotonic() + FOLLOWED_WITHIN_SECONDS
        for created, data_dir in zip(self.created, data_dirs, strict=True):
            while not created or issuer_of(created[-1], data_dir) != issuer_id:
                assert not self._errors
                assert time.monotonic() < end, "a node does not follow"
                time.sleep(0.2)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for error in self._errors:
            raise error

    def _run(self, service: Service, created: list[Created]) -> None:
        try:
            client = client_of(service)
            # Most of the time, a request is under way on one of three nodes. More would only wait for one another.
            while not self._stopped.wait(PAUSE_SECONDS):
                created.append(create_from_csr(client, self._csr_pem))
        except BaseException as error:  # noqa: BLE001  raised again by stop
            self._errors.append(error)


@pytest.fixture
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[list[Service], tuple[str, ...]]]:
    """One node on SQLite, or three on PostgreSQL that share keys."""
    count: int = request.param
    options = () if count == 1 else ("--database-url", request.getfixturevalue("migrated_postgresql_url"))
    first = tmp_path / "node-0"
    with running_service(first, *options, key_reserve=0):
        pass
    data_dirs = [first]
    for number in range(1, count):
        data_dirs.append(tmp_path / f"node-{number}")
        data_dirs[-1].mkdir(mode=0o700)
        for name in ("keys", "certificates"):
            shutil.copytree(first / name, data_dirs[-1] / name)
        shutil.copy2(first / "credentials", data_dirs[-1] / "credentials")
    with ExitStack() as stack:
        yield [stack.enter_context(running_service(each, *options, key_reserve=0)) for each in data_dirs], options


@pytest.mark.parametrize("nodes", [1, 3], indirect=True)
def test_a_rotation_under_load_fails_no_request_and_disconnects_no_device(
    nodes: tuple[list[Service], tuple[str, ...]], csr_pem: str, tmp_path: Path
) -> None:
    services, options = nodes
    data_dirs = [service.data_dir for service in services]
    url = options[1] if options else None
    lives = [Live(service, url) for service in services]
    clients = [live.client() for live in lives]
    devices = [
        Device(live, new_credentials(client), tmp_path, f"device-{number}")
        for number, (live, client) in enumerate(zip(lives, clients, strict=True))
    ]
    load = Load(services, csr_pem)
    try:
        ready = done(issuer(data_dirs[0], "create", "--key-type", "rsa-2048", *options))
        rotated = done(issuer(data_dirs[-1], "rotate", *options))
        load.wait_for_issuer(rotated, data_dirs)
        done(issuer(data_dirs[0], "activate", ready[:12], *options))
        load.wait_for_issuer(ready, data_dirs)
    finally:
        load.stop()
    assert all(device.is_connected for device in devices)
    for created, data_dir, service in zip(load.created, data_dirs, services, strict=True):
        used = {issuer_of(each, data_dir) for each in created}
        assert {rotated, ready} <= used
        assert is_verified(data_dir, created[0])
        assert is_verified(data_dir, created[-1])
        last = x509.load_der_x509_certificate(created[-1].der)
        assert last.signature_algorithm_oid == x509.SignatureAlgorithmOID.RSA_WITH_SHA256
        assert f'thingmint_issuer_life_left{{issuer="{ready}",status="ACTIVE"}}' in page(service, "metrics")
    assert sorted(statuses(data_dirs[0], *options)) == ["ACTIVE", "RETIRED", "RETIRED"]
    for device, client in zip(devices, clients, strict=True):
        device.close()
        client.close()
    # A node that starts again issues with the same issuer.
    services[0].terminate()
    with running_service(data_dirs[0], *options, key_reserve=0) as again:
        assert issuer_of(create_from_csr(client_of(again), csr_pem), data_dirs[0]) == ready
        again.close_clients()


def page(service: Service, name: str) -> str:
    context = ssl.create_default_context(cafile=str(service.data_dir / "ca.pem"))
    with urllib.request.urlopen(f"{service.endpoints.api}/{name}", context=context) as answer:
        text: str = answer.read().decode()
        return text


def is_ready(service: Service) -> bool:
    try:
        page(service, "readyz")
    except urllib.error.HTTPError as error:
        error.close()
        return False
    return True


def test_of_rotations_at_the_same_time_each_is_whole_or_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    data_dir = tmp_path / "data"
    with running_service(data_dir, *options, key_reserve=0):
        command = ("issuer", "rotate", "--data-dir", str(data_dir), *options)
        started = [start_thingmint(*command) for _ in range(4)]
        ended = [(process.communicate(), process.returncode) for process in started]
        succeeded = [said for (said, _), code in ended if code == 0]
        assert succeeded
        for (_, error), code in ended:
            assert code == 0 or "was changed by another command at the same time" in error
        # Each that succeeded has made one issuer, and the others none.
        assert sorted(statuses(data_dir, *options)) == ["ACTIVE", *["RETIRED"] * len(succeeded)]


def test_a_command_that_is_killed_leaves_one_active_issuer_and_can_be_repeated(
    tmp_path: Path, options: tuple[str, ...], csr_pem: str
) -> None:
    data_dir, url = tmp_path / "data", options[1] if options else None
    delays = random.Random(20)
    with running_service(data_dir, *options, key_reserve=0) as service:
        for number in range(8):
            words = ("rotate",) if number % 2 else ("create",)
            command = ("issuer", *words, "--data-dir", str(data_dir), *options)
            process = start_thingmint(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(delays.uniform(0.02, 0.6))  # the moment is what is tried out
            process.kill()
            process.wait()
            rows = tables_of(data_dir, url)["issuer"]
            assert [row["status"] for row in rows].count("ACTIVE") == 1
            assert all(row["sealed_key"] and row["chain_pem"] for row in rows if row["key_place"] == "DATABASE")
        active = done(issuer(data_dir, "rotate", *options))
        load = Load([service], csr_pem)
        try:
            load.wait_for_issuer(active, [data_dir])
        finally:
            load.stop()
            service.close_clients()


def corporate(folder: Path, name: str, above: str | None, *, days: int = 4000, extensions: Sequence[str] = ()) -> None:
    """Let OpenSSL make an authority, below another one or below none."""
    subject = ("-subj", f"/O=Example/CN={name}", "-days", str(days), "-newkey", "ec", "-noenc")
    usual = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign", *extensions)
    signed_by = () if above is None else ("-CA", f"{above}.pem", "-CAkey", f"{above}.key")
    subprocess.run(
        [
            required_program("openssl"), "req", "-x509", *subject, "-pkeyopt", "ec_paramgen_curve:P-256", *signed_by,
            "-keyout", f"{name}.key", "-out", f"{name}.pem", *(word for each in usual for word in ("-addext", each)),
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def test_a_company_certifies_an_issuer_with_a_root_that_is_elsewhere(
    tmp_path: Path, options_of_one: tuple[str, ...], csr_pem: str
) -> None:
    options = options_of_one
    data_dir = tmp_path / "data"
    corporate(tmp_path, "root", None)
    corporate(tmp_path, "middle", "root")
    corporate(tmp_path, "other", None)
    with running_service(data_dir, *options, key_reserve=0) as service:
        request = ("csr", "--subject", "CN=Devices 2,O=Example", "--out", str(tmp_path / "csr"), *options)
        pending = done(issuer(data_dir, *request))
        # It can be written again.
        assert done(issuer(data_dir, *request, pending)) == pending
        signed = tmp_path / "signed.pem"
        root = ("--root-key", str(tmp_path / "middle.key"), "--root", str(tmp_path / "middle.pem"), "--days", "3000")
        without_urls = ("issuer", "sign-with-root", *root, "--csr", str(tmp_path / "csr"), "--out", str(signed))
        wrong_url = run_thingmint(*without_urls, "--crl-url", "root.crl")
        assert "'root.crl' is not the URL of a page" in wrong_url.stderr
        assert not signed.exists()
        urls = ("--crl-url", "http://pki.example/root.crl", "--issuer-url", "http://pki.example/root.cer")
        command = (*without_urls, *urls)
        issuer_id = run_thingmint(*command, check=True).stdout.strip()
        again = run_thingmint(*command)
        assert "exists already" in again.stderr
        # The root is missing, the certificate is another key's, and the file is none.
        for content, reason in (
            (signed.read_bytes(), "the certificate of CN=root,O=Example is missing"),
            ((tmp_path / "other.pem").read_bytes(), "holds 0 certificates of the issuer's key"),
            (b"junk", "holds no certificate in PEM"),
            (b"x" * 100_000, "is longer than 65536 bytes"),
        ):
            (tmp_path / "wrong.pem").write_bytes(content)
            refused = issuer(data_dir, "import", pending, str(tmp_path / "wrong.pem"), *options)
            assert refused.returncode == 1
            assert reason in refused.stderr
        early = issuer(data_dir, "activate", pending, *options)
        assert "is PENDING, not READY" in early.stderr
        signed.write_bytes(signed.read_bytes() + (tmp_path / "root.pem").read_bytes())
        assert done(issuer(data_dir, "import", pending, str(signed), *options)) == issuer_id
        # It ends before the certificates of the usual profile.
        refused = issuer(data_dir, "activate", issuer_id, *options)
        assert "at_issuer_end = shorten" in refused.stderr
        (data_dir / "thingmint.toml").write_text('at_issuer_end = "shorten"\n')
        assert done(issuer(data_dir, "activate", issuer_id, *options)) == issuer_id
        service.terminate()
    with running_service(data_dir, *options, key_reserve=0) as service:
        created = create_from_csr(client_of(service), csr_pem)
        service.close_clients()
        assert issuer_of(created, data_dir) == issuer_id
        assert is_verified(data_dir, created)
        chain = x509.load_pem_x509_certificates(signed.read_bytes())
        assert x509.load_der_x509_certificate(created.der).not_valid_after_utc == chain[0].not_valid_after_utc
        assert chain[-1] in x509.load_pem_x509_certificates((data_dir / "device-ca.pem").read_bytes())
        shown = issuer(data_dir, "show", issuer_id[:10], *options).stdout
        assert "CN=Devices 2,O=Example" in shown
        assert shown.count("BEGIN CERTIFICATE") == 3


def test_an_issuer_whose_key_is_in_a_token_issues_and_recovers_when_the_token_is_back(
    tmp_path: Path, options_of_one: tuple[str, ...], csr_pem: str
) -> None:
    options = options_of_one
    hsm = new_softhsm(tmp_path / "hsm")
    data_dir, url = tmp_path / "data", options[1] if options else None
    flags = (*hsm.flags, *options)
    with running_service(data_dir, *flags, key_reserve=0, environment=hsm.environment) as service:
        refused = issuer(data_dir, "create", "--pkcs11", hsm.uri, *options, environment=hsm.environment)
        assert "give pkcs11_module and pkcs11_pin_file" in refused.stderr
        in_token = done(issuer(data_dir, "rotate", "--pkcs11", hsm.uri, *flags, environment=hsm.environment))
        load = Load([service], csr_pem)
        try:
            load.wait_for_issuer(in_token, [data_dir])
        finally:
            load.stop()
        assert is_ready(service)
        client = client_of(service)
        hsm.remove()
        with pytest.raises(ServiceRefused) as away:
            create_from_csr(client, csr_pem)
        assert away.value.status == 503
        until(lambda: not is_ready(service))
        abandoned = [row for row in tables_of(data_dir, url)["audit"] if row["action"] == "AbandonSerialNumber"]
        assert len(abandoned) >= 1
        hsm.put_back()
        until(lambda: is_ready(service))
        created = create_from_csr(client, csr_pem)
        assert is_verified(data_dir, created)
        numbers = {json.loads(row["detail"])["serial_number"] for row in abandoned}
        assert f"{x509.load_der_x509_certificate(created.der).serial_number:x}" not in numbers
        service.close_clients()
        retired = issuer(data_dir, "retire", in_token, *flags)
        assert "it retires when another one is activated" in retired.stderr
        # One that has never issued goes with its key.
        unused = done(issuer(data_dir, "create", "--pkcs11", hsm.uri, *flags, environment=hsm.environment))
        assert done(issuer(data_dir, "retire", unused, "--destroy-key", *flags, environment=hsm.environment)) == unused
        assert sorted(statuses(data_dir, *options)) == ["ACTIVE", "RETIRED", "RETIRED"]
        assert "destroyed" in issuer(data_dir, "list", *options).stdout


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + FOLLOWED_WITHIN_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_passphrase_of_a_directory_is_added_and_the_service_starts_with_it(tmp_path: Path, csr_pem: str) -> None:
    data_dir, passphrase = tmp_path / "data", tmp_path / "passphrase"
    passphrase.write_text("a passphrase\n")
    seal = ("seal", "--data-dir", str(data_dir), "--new-passphrase-file", str(passphrase))
    with running_service(data_dir, key_reserve=0) as service:
        active = done(issuer(data_dir, "rotate"))
        # A running service goes on with the keys that it has in memory.
        assert "5 keys are sealed" in run_thingmint(*seal, check=True).stdout
        load = Load([service], csr_pem)
        try:
            load.wait_for_issuer(active, [data_dir])
        finally:
            load.stop()
            service.close_clients()
    refused = issuer(data_dir, "rotate")
    assert "no passphrase was given" in refused.stderr
    with running_service(data_dir, "--ca-passphrase-file", str(passphrase), key_reserve=0) as service:
        # The key in the database is sealed by one of the keys that the passphrase seals.
        assert issuer_of(create_from_csr(client_of(service), csr_pem), data_dir) == active
        service.close_clients()
