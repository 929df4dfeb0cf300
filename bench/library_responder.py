"""Answers OCSP requests with the service's libraries and nothing else, to measure what these cost at least.

uvloop reads and writes, httptools parses HTTP, `cryptography` parses the request, and builds and signs the response.
There are no limits, no time-outs, no registry and no checks: each certificate is good.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import httptools
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

_DER = serialization.Encoding.DER
_SHA256 = hashes.SHA256()


class Responder:
    """A key, its certificate, and the dates of its responses."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._now = datetime.now(UTC).replace(microsecond=0)
        name = x509.Name.from_rfc4514_string("CN=responder")
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now)
            .not_valid_after(self._now + timedelta(days=2))
            .sign(self._key, _SHA256)
        )

    def respond(self, request: bytes) -> bytes:
        """Return the response to a request with a nonce."""
        asked = ocsp.load_der_ocsp_request(request)
        nonce = asked.extensions.get_extension_for_class(x509.OCSPNonce).value
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                asked.issuer_name_hash,
                asked.issuer_key_hash,
                asked.serial_number,
                asked.hash_algorithm,
                ocsp.OCSPCertStatus.GOOD,
                self._now,
                self._now,
                None,
                None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, self._certificate)
            .certificates([self._certificate])
            .add_extension(nonce, critical=False)
        )
        return builder.sign(self._key, _SHA256).public_bytes(_DER)


class Connection(asyncio.Protocol):
    """One connection of plain HTTP."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Keep a part of the request."""
        self._body += part

    def on_message_complete(self) -> None:
        """Answer."""
        answer = self._responder.respond(self._body)
        self._body = b""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/ocsp-response\r\ncontent-length: %d\r\n\r\n" % len(answer)
        self._transport.write(head + answer)  # type: ignore[attr-defined]  # uvloop's transports have no base class
        if not self._parser.should_keep_alive():
            self._transport.close()


async def main(port: int) -> None:
    """Serve until the process is ended."""
    responder = Responder()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(responder), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
