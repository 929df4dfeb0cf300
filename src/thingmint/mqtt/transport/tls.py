"""Owns how the gateway and a device prove themselves by TLS; refuses to judge certificates, and knows no sockets.

AWS IoT admits certificates of any issuer, because it knows devices by the fingerprint of the certificate that was
registered. The standard library's `ssl` cannot ask for a certificate and accept an unknown issuer; pyOpenSSL can. What
the handshake proves is that the peer holds the private key of the certificate it shows. Whose certificate that is, and
whether it may connect, is the registry's answer at CONNECT.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL, crypto

from thingmint.host.memory_files import in_memory

# AWS IoT's name for MQTT with client certificates; SDKs offer it on port 443, some on every port.
MQTT_ALPN = b"x-amzn-mqtt-ca"

# Forward secrecy and AEAD first. CBC and RSA are for devices that have nothing else, as in AWS's security policy.
_TLS_1_2_CIPHERS = (
    b"ECDHE+aECDSA+AESGCM:ECDHE+aECDSA+CHACHA20:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"
    b":ECDHE+aRSA+AESGCM:ECDHE+aRSA+CHACHA20:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384"
)
# RFC 8446 leaves the length open. A device shows its own certificate and at most a few issuers.
_MAX_CHAIN_DEPTH = 8
_CHAIN_TOO_LONG: Final[int] = SSL.X509VerificationCodes.ERR_CERT_CHAIN_TOO_LONG


@dataclass(frozen=True, slots=True)
class Peer:
    """What a handshake proved and told: DER certificates, the leaf first, and the name that the peer called."""

    leaf: bytes = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    server_name: str | None
    alpn: str | None


ServerKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def device_tls_context(
    chain: Sequence[x509.Certificate],
    private_key: ServerKey,
    *others: tuple[Sequence[x509.Certificate], ServerKey],
) -> SSL.Context:
    """Return a context that asks for a certificate and admits any; raise ValueError unless chain and key are a pair.

    ``others`` are chains and keys of other algorithms, for peers that cannot use the first.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_TLS_1_2_CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    # An idle connection should not hold buffers for records.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    _never_resume(context)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _admit)
    context.set_verify_depth(_MAX_CHAIN_DEPTH)
    context.set_alpn_select_callback(_select_alpn)
    for each, key in ((chain, private_key), *others):
        _identify_as(context, each, key)
    return context


def peer_of(connection: SSL.Connection) -> Peer:
    """Return what the finished handshake told of the peer."""
    leaf = connection.get_peer_certificate()
    assert leaf is not None, "no handshake ends without a certificate"
    # On the server's side OpenSSL leaves the leaf out of the chain.
    certificates = (leaf, *(connection.get_peer_cert_chain() or ()))
    chain = tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in certificates)
    name = connection.get_servername()
    alpn = connection.get_alpn_proto_negotiated()
    return Peer(
        leaf=chain[0],
        chain=chain,
        server_name=None if name is None else name.decode("ascii", "replace"),
        alpn=alpn.decode("ascii") if alpn else None,
    )


def _never_resume(context: SSL.Context) -> None:
    """Make every handshake a full one: a resumed session would show no chain, and outlive what was revoked since."""
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    # Without a session id context OpenSSL fails a client that tries to resume instead of refusing the resumption.
    context.set_session_id(b"thingmint")


def _identify_as(context: SSL.Context, chain: Sequence[x509.Certificate], private_key: ServerKey) -> None:
    if not chain or chain[0].public_key() != private_key.public_key():
        raise ValueError("the private key does not belong to the first certificate of the chain")
    # OpenSSL keeps a chain for each algorithm only if it reads it from a file.
    with in_memory(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)) as path:
        context.use_certificate_chain_file(path)
    context.use_privatekey(private_key)


def _admit(_connection: SSL.Connection, _certificate: crypto.X509, error: int, _depth: int, _ok: int) -> bool:
    """Accept every fault but a chain so long that checking its signatures would be an attack."""
    return error != _CHAIN_TOO_LONG


def _select_alpn(_connection: SSL.Connection, offered: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
    # Clients that offer other protocols (SDKs do, on every port) go on without one.
    return MQTT_ALPN if MQTT_ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS
