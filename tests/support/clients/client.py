"""A small signed client for tests that need load rather than fidelity: the one of the project's command line."""

import ssl
from dataclasses import dataclass

from tests.support.services.service import Service

from thingmint.cli.connection import Connection, SignedClient
from thingmint.data_directory.handover import read_credentials


@dataclass(frozen=True)
class Created:
    """What an acknowledged creation returned."""

    certificate_id: str
    certificate_pem: str
    private_key_pem: str | None = None

    @property
    def der(self) -> bytes:
        """The certificate's DER."""
        return ssl.PEM_cert_to_DER_cert(self.certificate_pem)


def client_of(service: Service) -> SignedClient:
    """Return a client with the administrator's key."""
    credentials = read_credentials(service.data_dir)
    assert credentials is not None
    client = SignedClient(
        Connection(
            endpoint=service.endpoints.api,
            ca_file=service.endpoints.ca_file,
            region=service.endpoints.region,
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key,
            session_token=None,
        )
    )
    service.closers.append(client.close)
    return client


def create_keys(client: SignedClient, *, active: bool = True) -> Created:
    """Create a key pair and its certificate."""
    answer = client.call("POST", "/keys-and-certificate", {"setAsActive": str(active).lower()})
    key_pair = answer["keyPair"]
    assert isinstance(key_pair, dict)
    return Created(str(answer["certificateId"]), str(answer["certificatePem"]), str(key_pair["PrivateKey"]))


def create_from_csr(client: SignedClient, csr_pem: str, *, active: bool = True) -> Created:
    """Create a certificate for a signing request."""
    query = {"setAsActive": str(active).lower()}
    answer = client.call("POST", "/certificates", query, {"certificateSigningRequest": csr_pem})
    return Created(str(answer["certificateId"]), str(answer["certificatePem"]))


def describe(client: SignedClient, certificate_id: str) -> dict[str, object]:
    """Return the description of a certificate."""
    description = client.call("GET", f"/certificates/{certificate_id}", {})["certificateDescription"]
    assert isinstance(description, dict)
    return description


def listed_ids(client: SignedClient) -> list[str]:
    """Return the ids of all certificates, newest first."""
    ids: list[str] = []
    query = {"pageSize": "250"}
    while True:
        page = client.call("GET", "/certificates", query)
        certificates = page["certificates"]
        assert isinstance(certificates, list)
        ids += [str(certificate["certificateId"]) for certificate in certificates]
        if "nextMarker" not in page:
            return ids
        query["marker"] = str(page["nextMarker"])
