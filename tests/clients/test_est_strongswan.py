"""strongSwan's `pki` gets the authorities, enrolls and renews by EST."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from tests.support.clients.aws import IoT, Live
from tests.support.clients.strongswan import pki, require_strongswan

_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class StrongSwan:
    """A folder of keys, requests and certificates, and the service that strongSwan asks."""

    live: Live
    folder: Path

    def est(self, command: str, *options: str | Path) -> bytes:
        """Return the output of a command that asks the service by EST."""
        url = self.live.service.endpoints.est
        assert url is not None
        return pki(command, "--url", url.removesuffix("/.well-known/est"), "--cacert", self.live.ca_file, *options)[0]

    def file(self, name: str, content: bytes) -> Path:
        """Return a file with this content."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def key_and_request(self, name: str) -> tuple[Path, Path]:
        """Return the files of a new key and of its signing request."""
        key = self.file(f"{name}.key", pki("gen", "--type", "ecdsa", "--size", "256", "--outform", "pem")[0])
        request = pki("req", "--in", key, "--type", "priv", "--dn", "CN=gateway", "--outform", "der")[0]
        return key, self.file(f"{name}.req", request)

    def authorities(self) -> list[str | Path]:
        """Return the options that name the authorities of devices."""
        cas = x509.load_pem_x509_certificates(self.live.device_ca_file.read_bytes())
        files = [self.file(f"authority-{number}.pem", ca.public_bytes(_PEM)) for number, ca in enumerate(cas)]
        return [option for each in files for option in ("--cacert", each)]


@pytest.fixture
def strongswan(live: Live, tmp_path: Path) -> StrongSwan:
    """strongSwan's `pki` with an empty folder."""
    require_strongswan()
    return StrongSwan(live, tmp_path)


def test_authorities_are_fetched_and_trusted(strongswan: StrongSwan) -> None:
    strongswan.est("estca", "--outform", "pem", "--caout", strongswan.folder / "authority.pem")
    fetched = {
        x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(_DER)
        for path in strongswan.folder.glob("authority*.pem")
    }
    wanted = x509.load_pem_x509_certificates(strongswan.live.device_ca_file.read_bytes())
    assert {each.public_bytes(_DER) for each in wanted} <= fetched


def test_certificate_is_enrolled_with_an_access_key_and_renewed_with_itself(strongswan: StrongSwan, iot: IoT) -> None:
    administrator = strongswan.live.administrator
    secret = f"{administrator.access_key_id}:{administrator.secret_access_key}"
    trusted = strongswan.authorities()
    key, request = strongswan.key_and_request("first")
    enrolled = strongswan.est("est", "--in", request, *trusted, "--userpass", secret, "--outform", "pem")
    first = strongswan.file("first.pem", enrolled)

    _, request = strongswan.key_and_request("second")
    renewed = strongswan.est("est", "--in", request, *trusted, "--cert", first, "--key", key, "--outform", "pem")

    certificates = [x509.load_pem_x509_certificate(each) for each in (enrolled, renewed)]
    assert certificates[0].public_key() != certificates[1].public_key()
    for certificate in certificates:
        identifier = certificate.fingerprint(hashes.SHA256()).hex()
        assert certificate.subject.rfc4514_string() == "CN=gateway"
        assert iot.describe_certificate(certificateId=identifier)["certificateDescription"]["status"] == "ACTIVE"
