"""Owns the gateway's TLS context, which requires client certificates. Does not verify their issuers."""

from collections.abc import Sequence

from cryptography import x509
from OpenSSL import SSL

from thingmint.host.connections.peer_tls import ServerIdentityPair, ServerKey, peer_tls_context

# AWS IoT's name for MQTT with client certificates; SDKs offer it on port 443, some on every port.
MQTT_ALPN = b"x-amzn-mqtt-ca"


def device_tls_context(
    chain: Sequence[x509.Certificate], private_key: ServerKey, *others: ServerIdentityPair
) -> SSL.Context:
    """Return a context that requires a certificate and admits any; raise ValueError if a key does not fit its chain.

    ``others`` are chains and keys of other algorithms, for peers that do not support the first.
    """
    return peer_tls_context(((chain, private_key), *others), MQTT_ALPN, requires_certificate=True)
