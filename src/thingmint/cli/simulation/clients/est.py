"""Owns the renewal of simulated devices' certificates by EST. Does not schedule it."""

import base64
import http.client
import ssl
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from msgspec import Struct

from thingmint.cli.simulation.clients.client import ANSWER_SECONDS, BrokerRefused, ConnectionLost
from thingmint.cli.simulation.clients.identity import Identity
from thingmint.cli.simulation.target import TargetRefused, require_loopback_url
from thingmint.core.error_text import in_words

BUSY = frozenset({http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE})


class EstBusy(Exception):
    """The service has asked for a later retry."""

    def __init__(self) -> None:
        super().__init__("EST is busy")


class EstTarget(Struct, frozen=True):
    """The EST server. Its methods block, so call them in threads."""

    host: str
    port: int
    path: str
    ca_file: str

    def authorities(self) -> frozenset[str]:
        """Return the digests of the authorities' certificates; raise ConnectionLost if there is no answer."""
        found = self._ask("GET", "cacerts", ssl.create_default_context(cafile=self.ca_file))
        return frozenset(each.fingerprint(hashes.SHA256()).hex() for each in found)

    def renewed(self, identity: Identity, request_der: bytes) -> x509.Certificate:
        """Return the certificate that renews the identity's.

        Raises BrokerRefused, EstBusy, ConnectionLost, and OSError if the identity cannot be used.
        """
        context = identity.tls_context_for(self.ca_file)
        (issued,) = self._ask("POST", "simplereenroll", context, base64.encodebytes(request_der))
        return issued

    def _ask(
        self, method: str, operation: str, context: ssl.SSLContext, body: bytes | None = None
    ) -> list[x509.Certificate]:
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=ANSWER_SECONDS, context=context)
        headers = {} if body is None else {"Content-Type": "application/pkcs10"}
        try:
            connection.request(method, f"{self.path}/{operation}", body, headers)
            with connection.getresponse() as answer:
                content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionLost(in_words(error)) from error
        finally:
            connection.close()
        if answer.status in BUSY:
            raise EstBusy
        if answer.status != http.HTTPStatus.OK:
            raise BrokerRefused(f"EST: {answer.status} {content.decode('utf-8', 'replace').strip()}")
        return pkcs7.load_der_pkcs7_certificates(base64.b64decode(content))


def find_est(url: str, ca_file: str, *, allow_remote: bool) -> EstTarget:
    """Return the target of a URL such as ``https://localhost:9443/.well-known/est``; raise TargetRefused."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None or parts.port is None:
        raise TargetRefused(f"EST is at https://HOST:PORT/.well-known/est, not {url!r}")
    if not allow_remote:
        require_loopback_url(url)
    return EstTarget(parts.hostname, parts.port, parts.path.rstrip("/"), ca_file)


def issuer_of(certificate_pem: str) -> str:
    """Return the name of a certificate's issuer."""
    return x509.load_pem_x509_certificate(certificate_pem.encode()).issuer.rfc4514_string()


def pem_and_id(certificate: x509.Certificate) -> tuple[str, str]:
    """Return a certificate as PEM, and the id by which the registry knows it."""
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return pem, certificate.fingerprint(hashes.SHA256()).hex()
