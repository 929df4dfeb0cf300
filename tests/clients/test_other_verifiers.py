"""Other X.509 implementations judge what was issued: GnuTLS, NSS, Java, strongSwan, and OpenSSL in its strict mode.

Each authority's algorithm is tried with each kind of key that a device may have; see also `test_openssl.py`.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT, Live
from tests.support.clients.strongswan import pki, require_strongswan
from tests.support.devices.live_devices import new_fleet
from tests.support.machine.required import required_program
from tests.support.services.service import running_service

KEYS_OF_DEVICES = ("p-256", "p-384", "p-521", "rsa-3072", "rsa-4096")
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"


@dataclass(frozen=True)
class Issued:
    """Certificates of one service, the CA certificates that brokers get, and those of a service that has other keys."""

    ca_file: Path
    other_ca_file: Path
    leaves: tuple[Path, ...]


def said_by(*command: str | Path, ok: bool = True) -> str:
    """Return what a verifier says; fail unless it ends as expected."""
    program, *arguments = command
    finished = subprocess.run(
        [required_program(str(program)), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = finished.stdout + finished.stderr
    assert (finished.returncode == 0) is ok, said
    return said


def issued_by(iot: IoT) -> Iterator[tuple[str, str]]:
    """Yield a certificate of every kind, with its name."""
    yield "new-key", iot.create_keys_and_certificate()["certificatePem"]
    for kind in KEYS_OF_DEVICES:
        yield kind, iot.create_certificate_from_csr(certificateSigningRequest=csr_pem(kind))["certificatePem"]
    yield "claim", iot.create_provisioning_claim(templateName=new_fleet(iot).template)["certificatePem"]


@pytest.fixture(scope="module", params=["ecdsa-p256", "ecdsa-p384", "rsa-2048"])
def issued(request: pytest.FixtureRequest, live_on_sqlite: Live, tmp_path_factory: pytest.TempPathFactory) -> Issued:
    folder = tmp_path_factory.mktemp("verified")
    leaves = []
    with (
        running_service(folder / "data", "--ca-key-type", request.param, key_reserve=1) as service,
        contextlib.closing(Live(service, None).client()) as iot,
    ):
        for name, pem in issued_by(iot):
            leaves.append(folder / f"{name}.pem")
            leaves[-1].write_text(pem)
    return Issued(service.data_dir / "device-ca.pem", live_on_sqlite.device_ca_file, tuple(leaves))


def test_openssl_accepts_each_of_them_strictly(issued: Issued) -> None:
    strictly = ("verify", "-x509_strict", "-purpose", "sslclient")
    for leaf in issued.leaves:
        assert said_by("openssl", *strictly, "-CAfile", issued.ca_file, leaf) == f"{leaf}: OK\n"
        said_by("openssl", *strictly, "-CAfile", issued.other_ca_file, leaf, ok=False)


def test_gnutls_accepts_each_of_them(issued: Issued) -> None:
    for leaf in issued.leaves:
        purpose = ("--verify-purpose", CLIENT_AUTH)
        said = said_by("certtool", "--verify", *purpose, "--load-ca-certificate", issued.ca_file, "--infile", leaf)
        assert "Verified. The certificate is trusted." in said
        other = ("--load-ca-certificate", issued.other_ca_file)
        assert "Not verified" in said_by("certtool", "--verify", *purpose, *other, "--infile", leaf, ok=False)


def nss_database(folder: Path, ca_file: Path) -> tuple[str, str]:
    """Return the options that name a database in which the CAs of the file are trusted for clients."""
    folder.mkdir()
    database = ("-d", f"sql:{folder}")
    said_by("certutil", "-N", *database, "--empty-password")
    for index, pem in enumerate(ca_file.read_text().split("-----END CERTIFICATE-----\n")[:-1]):
        one = folder / f"ca-{index}.pem"
        one.write_text(pem + "-----END CERTIFICATE-----\n")
        said_by("certutil", "-A", *database, "-n", f"ca-{index}", "-t", "TC,,", "-a", "-i", one)
    return database


def test_nss_accepts_each_of_them(issued: Issued, tmp_path: Path) -> None:
    trusting = nss_database(tmp_path / "trusting", issued.ca_file)
    distrusting = nss_database(tmp_path / "distrusting", issued.other_ca_file)
    for leaf in issued.leaves:
        for database in (trusting, distrusting):
            said_by("certutil", "-A", *database, "-n", leaf.stem, "-t", ",,", "-a", "-i", leaf)
        # The usage C is that of a TLS client.
        assert "certificate is valid" in said_by("certutil", "-V", *trusting, "-u", "C", "-n", leaf.stem)
        said_by("certutil", "-V", *distrusting, "-u", "C", "-n", leaf.stem, ok=False)


def test_java_builds_a_path_to_each_of_them(issued: Issued, java: tuple[str, ...]) -> None:
    assert said_by(*java, "Verify", issued.ca_file, *issued.leaves).splitlines() == ["OK"] * len(issued.leaves)
    said = said_by(*java, "Verify", issued.other_ca_file, *issued.leaves).splitlines()
    assert len(said) == len(issued.leaves)
    assert "OK" not in said


def strongswan_trusts(folder: Path, ca_file: Path) -> list[str | Path]:
    """Return the options with which strongSwan trusts the CAs of the file."""
    folder.mkdir()
    options: list[str | Path] = []
    for index, pem in enumerate(ca_file.read_text().split("-----END CERTIFICATE-----\n")[:-1]):
        one = folder / f"ca-{index}.pem"
        one.write_text(pem + "-----END CERTIFICATE-----\n")
        options += ["--cacert", one]
    return options


def test_strongswan_accepts_each_of_them(issued: Issued, tmp_path: Path) -> None:
    require_strongswan()
    trusting = strongswan_trusts(tmp_path / "trusting", issued.ca_file)
    distrusting = strongswan_trusts(tmp_path / "distrusting", issued.other_ca_file)
    for leaf in issued.leaves:
        assert "certificate trusted, lifetimes valid" in pki("verify", "--in", leaf, *trusting)[1]
        assert "certificate untrusted" in pki("verify", "--in", leaf, *distrusting, is_fine=False)[1]
