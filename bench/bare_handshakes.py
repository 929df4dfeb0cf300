"""Owns the bare reference of handshakes: both sides of mutual TLS by the library alone, in memory, in one process."""

import datetime as dt
import json
import os
import sys
import time
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL, crypto

from thingmint.mqtt.transport.tls import device_tls_context

RECORD = 65_536


def certificate_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return a self-signed certificate for the key."""
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bare")]), dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


class Pair:
    """Shakes hands: the gateway's own TLS context, P-256, and a client with an RSA-2048 certificate as AWS issues."""

    def __init__(self) -> None:
        server_key, client_key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
        server_certificate = certificate_of(server_key)
        self._server = device_tls_context([server_certificate], server_key)
        self._client = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._client.use_certificate(certificate_of(client_key))
        self._client.use_privatekey(client_key)
        store = self._client.get_cert_store()
        assert store is not None
        store.add_cert(crypto.X509.from_cryptography(server_certificate))
        self._client.set_verify(SSL.VERIFY_PEER)
        self.server_s = 0.0

    def __call__(self) -> None:
        """Shake hands once; raise RuntimeError if that does not end."""
        client, server = SSL.Connection(self._client), SSL.Connection(self._server)
        client.set_connect_state()
        server.set_accept_state()
        for _ in range(6):
            client_done = self._step(client)
            self._carry(client, server)
            began = time.perf_counter()
            server_done = self._step(server)
            self.server_s += time.perf_counter() - began
            self._carry(server, client)
            if client_done and server_done:
                return
        raise RuntimeError("the handshake does not end")

    @staticmethod
    def _step(side: SSL.Connection) -> bool:
        try:
            side.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    @staticmethod
    def _carry(sender: SSL.Connection, receiver: SSL.Connection) -> None:
        try:
            receiver.bio_write(sender.bio_read(RECORD))
        except SSL.WantReadError:
            return


def measure(seconds: float) -> dict[str, Any]:
    """Shake hands for a time, and return how often, and what it took of the processor."""
    pair, count = Pair(), 0
    pair()
    pair.server_s = 0.0
    began, cpu_before = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        pair()
        count += 1
    elapsed = time.perf_counter() - began
    return {
        "count": count,
        "cpu_s": time.process_time() - cpu_before,
        "server_share": pair.server_s / elapsed,
    }


def main() -> None:
    """Answer each line of standard input."""
    for line in sys.stdin:
        job = json.loads(line)
        os.sched_setaffinity(0, [job["pin"]])
        print(json.dumps(measure(job["seconds"])), flush=True)


if __name__ == "__main__":
    main()
