"""Owns the server's certificate: made at every start and again before it ends; its private key is in no file.

Clients trust the root, so the server may change its key as often as it likes. OpenSSL reads certificate and key by a
path; they are given to it through an anonymous file in memory.
"""

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from thingmint.core.errors import ServiceUnavailable
from thingmint.data_directory.authorities import SERVER, Authorities, certificate_path, pem_of, write_where_different
from thingmint.issuance.trust_anchor import create_server_certificate, server_certificate_is_due
from thingmint.mqtt.tls import device_tls_context
from thingmint.registration.ports import SerialNumbers
from thingmint.rest.tls import server_tls_context

# How often the wall clock is compared with the server certificate's end.
ROTATION_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """A server certificate, and the TLS contexts that prove it to callers of the API and to devices."""

    certificate: x509.Certificate
    context: ssl.SSLContext
    device_context: SSL.Context


@dataclass(frozen=True, slots=True)
class ServerIdentities:
    """Makes the server's identity, and says when it is due for another."""

    authorities: Authorities
    names: Sequence[str]
    serial_numbers: SerialNumbers
    now: Callable[[], datetime]
    data_dir: Path

    def create(self) -> ServerIdentity:
        """Return a new identity; its certificate is also left in the data directory, for people to look at."""
        private_key = ec.generate_private_key(ec.SECP256R1())
        service = self.authorities.service
        certificate = create_server_certificate(
            service, private_key.public_key(), self.names, self.serial_numbers(), self.now()
        )
        chain = pem_of(certificate, service.certificate)
        context = _context(chain, private_key)
        write_where_different(certificate_path(self.data_dir, SERVER), chain)
        device_context = device_tls_context((certificate, service.certificate), private_key)
        return ServerIdentity(certificate, context, device_context)

    def is_due(self, identity: ServerIdentity) -> bool:
        """Say whether the certificate should be replaced by now."""
        service = self.authorities.service.certificate
        return server_certificate_is_due(identity.certificate, service, self.names, self.now())


class Log(Protocol):
    """Where replacements are told."""

    def error(self, event: str, **facts: object) -> object:
        """Write a line about a fault."""
        ...

    def info(self, event: str, **facts: object) -> object:
        """Write a line."""
        ...


@dataclass(slots=True)
class Rotation:
    """Replaces the server's identity when it is due; ``use`` takes the new one."""

    identities: ServerIdentities
    identity: ServerIdentity
    check_clock: Callable[[], None]
    use: Callable[[ServerIdentity], None]
    log: Log

    def turn(self) -> None:
        """Replace the identity if it is due and the clock is right."""
        try:
            self.check_clock()
        except ServiceUnavailable:
            # What a wrong clock dates would not be valid for clients, whose clock is right; what is in use may be.
            return
        if not self.identities.is_due(self.identity):
            return
        try:
            self.identity = self.identities.create()
        except (ValueError, OSError) as error:
            self.log.error("server certificate cannot be replaced", cause=type(error).__name__)  # noqa: TRY400  the type alone
            return
        self.use(self.identity)
        end = self.identity.certificate.not_valid_after_utc
        self.log.info("server certificate replaced", not_after=end.isoformat())

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(ROTATION_CHECK_SECONDS)
            self.turn()


def _context(chain: bytes, private_key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    key = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.memfd_create("server-identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, chain + key)
        path = Path(f"/proc/self/fd/{descriptor}")
        return server_tls_context(path, path)
    finally:
        os.close(descriptor)
