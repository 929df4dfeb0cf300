"""Owns the TLS context of the API's server. Independent of where certificates come from and when they change."""

import ssl
from pathlib import Path

HTTP_ALPN = b"http/1.1"

# Forward secrecy and AEAD only; TLS 1.3 has nothing else.
# RSA is for clients that do not support ECDSA.
_TLS_1_2_CIPHERS = "ECDHE+aECDSA+AESGCM:ECDHE+aECDSA+CHACHA20:ECDHE+aRSA+AESGCM:ECDHE+aRSA+CHACHA20"


def server_tls_context(certificate_chain: Path, private_key: Path) -> ssl.SSLContext:
    """Return a context for the service's side; raise OSError or ssl.SSLError if the files do not make a pair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # AWS's SDKs do not resume sessions. Tickets would add two messages to each handshake and weaken forward secrecy.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols([HTTP_ALPN.decode()])
    # Without a password argument OpenSSL would prompt on the terminal for the passphrase of an encrypted key.
    context.load_cert_chain(certificate_chain, private_key, password="")
    return context
