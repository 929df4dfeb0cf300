"""Owns the server's certificate: made at every start and again before it expires. Its private key is in no file.

Clients trust the root, so the server can change its key at any time. OpenSSL reads certificate and key from a path;
where the system supports it, that is a file in memory.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct
from OpenSSL import SSL

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.operational_log import OperationalLog
from thingmint.data_directory.authorities import SERVER, Authorities
from thingmint.data_directory.certificate_files import certificate_path, pem_of, write_where_different
from thingmint.host.connections.peer_tls import ServerIdentityPair, ServerKey, peer_tls_context
from thingmint.host.memory_files import in_memory
from thingmint.issuance.authorities.trust_anchor import (
    CertificateAuthority,
    create_server_certificate,
    server_certificate_is_due,
)
from thingmint.mqtt.transport.tls import device_tls_context
from thingmint.registration.kernel.ports import SerialNumbers
from thingmint.rest.http.any_client import AnyClientContext
from thingmint.rest.http.tls import HTTP_ALPN, server_tls_context

# How often the wall clock is compared with the server certificate's notAfter.
ROTATION_CHECK_SECONDS = 5.0
RSA_SERVER = "server-rsa"
ServerPublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class ServerIdentity(Struct, frozen=True):
    """A server certificate, and the TLS contexts that use it for callers of the API, devices, and clients of EST."""

    certificate: x509.Certificate
    context: ssl.SSLContext
    device_context: SSL.Context
    est_context: AnyClientContext


class ServerIdentities(Struct, frozen=True):
    """Makes the server's identity, and returns when it must be replaced."""

    authorities: Authorities
    names: Sequence[str]
    serial_numbers: SerialNumbers
    now: Callable[[], datetime]
    data_dir: Path

    def create(self, rsa_key: rsa.RSAPrivateKey) -> ServerIdentity:
        """Return a new identity, and write its certificates to the data directory for operators.

        The caller makes the RSA key, because that takes long. It is for clients that cannot verify ECDSA.
        """
        private_key = ec.generate_private_key(ec.SECP256R1())
        identities: list[ServerIdentityPair] = [
            (self._chain(self.authorities.service, private_key.public_key()), private_key)
        ]
        if self.authorities.rsa_service is not None:
            identities.append((self._chain(self.authorities.rsa_service, rsa_key.public_key()), rsa_key))
        for name, (chain, _) in zip((SERVER, RSA_SERVER), identities, strict=False):
            write_where_different(certificate_path(self.data_dir, name), pem_of(*chain))
        (first, key), *others = identities
        est_context = AnyClientContext(peer_tls_context(identities, HTTP_ALPN, requires_certificate=False))
        return ServerIdentity(first[0], _context(identities), device_tls_context(first, key, *others), est_context)

    def _chain(self, issuer: CertificateAuthority, public_key: ServerPublicKey) -> tuple[x509.Certificate, ...]:
        """Return a server certificate and its issuer, which clients have if it is an anchor."""
        certificate = create_server_certificate(issuer, public_key, self.names, self.serial_numbers(), self.now())
        is_anchor = issuer.certificate in self.authorities.anchors
        return (certificate,) if is_anchor else (certificate, issuer.certificate)

    def is_due(self, identity: ServerIdentity) -> bool:
        """Return whether the certificate should be replaced by now."""
        service = self.authorities.service.certificate
        return server_certificate_is_due(identity.certificate, service, self.names, self.now())


async def new_rsa_key() -> rsa.RSAPrivateKey:
    """Return a new RSA key for the server; it is made in a thread, because it takes a tenth of a second."""
    return await asyncio.to_thread(rsa.generate_private_key, 65537, 2048)


class Rotation(Struct):
    """Replaces the server's identity when it is due; ``use`` receives the new one."""

    identities: ServerIdentities
    identity: ServerIdentity
    check_clock: Callable[[], None]
    use: Callable[[ServerIdentity], None]
    log: OperationalLog

    async def turn(self) -> None:
        """Replace the identity if it is due and the clock is right."""
        try:
            self.check_clock()
        except ServiceUnavailable:
            # Clients with a right clock would reject a certificate with wrong dates; they may still accept the one in
            # use.
            return
        if not self.identities.is_due(self.identity):
            return
        try:
            self.identity = self.identities.create(await new_rsa_key())
        except (ValueError, OSError) as error:
            self.log.error("server certificate cannot be replaced", cause=type(error).__name__)  # noqa: TRY400  the type alone
            return
        self.use(self.identity)
        end = self.identity.certificate.not_valid_after_utc
        self.log.info("server certificate replaced", not_after=end.isoformat())

    async def run(self) -> None:
        """Call `turn` periodically until cancelled."""
        while True:
            await asyncio.sleep(ROTATION_CHECK_SECONDS)
            await self.turn()


def _context(identities: Sequence[ServerIdentityPair]) -> ssl.SSLContext:
    """Return a TLS context with all identities; the first is preferred."""
    with contextlib.ExitStack() as stack:
        paths = [Path(stack.enter_context(in_memory(pem_of(*chain) + _pem_of_key(key)))) for chain, key in identities]
        context = server_tls_context(paths[0], paths[0])
        for path in paths[1:]:
            context.load_cert_chain(path)
    return context


def _pem_of_key(private_key: ServerKey) -> bytes:
    return private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
