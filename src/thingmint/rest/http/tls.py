"""Owns how the service speaks TLS; does not know where certificates come from nor when they change."""

import ssl
from pathlib import Path

HTTP_ALPN = b"http/1.1"

# Forward secrecy and AEAD only; TLS 1.3 has nothing else.
# RSA is for clients that have nothing else.
_TLS_1_2_CIPHERS = "ECDHE+aECDSA+AESGCM:ECDHE+aECDSA+CHACHA20:ECDHE+aRSA+AESGCM:ECDHE+aRSA+CHACHA20"


def server_tls_context(certificate_chain: Path, private_key: Path, passphrase: str | None = None) -> ssl.SSLContext:
    """Return a context for the service's side; raise OSError or ssl.SSLError if the files do not make a pair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # AWS's SDKs do not resume sessions: tickets would cost each handshake two messages, and forward secrecy something.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols([HTTP_ALPN.decode()])
    # Without a password OpenSSL would ask the terminal for that of a sealed key.
    context.load_cert_chain(certificate_chain, private_key, password=passphrase or "")
    return context
