"""Owns the TLS contexts that ask clients for certificates of any issuer. Does not verify issuers; opens no sockets.

AWS IoT admits certificates of any issuer, because it identifies a device by the fingerprint of its registered
certificate. The standard library's `ssl` cannot ask for a certificate and accept an unknown issuer; pyOpenSSL can. The
handshake proves that the peer holds the private key of its certificate. The registry decides whose certificate that is
and what it permits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL, crypto

from thingmint.host.memory_files import in_memory

# Forward secrecy and AEAD first. CBC and RSA are for devices that support nothing better, as in AWS's security policy.
_TLS_1_2_CIPHERS = (
    b"ECDHE+aECDSA+AESGCM:ECDHE+aECDSA+CHACHA20:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"
    b":ECDHE+aRSA+AESGCM:ECDHE+aRSA+CHACHA20:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384"
)
# RFC 8446 sets no limit. A device sends its own certificate and at most a few issuers' certificates.
_MAX_CHAIN_DEPTH = 8
_CHAIN_TOO_LONG: Final[int] = SSL.X509VerificationCodes.ERR_CERT_CHAIN_TOO_LONG
# With an RSA key, a verification takes the square of its length times the length of its exponent. This is 16384 bits
# with the usual exponent 65537, or 3072 bits with the longest exponent that a registered key can have.
_MOST_RSA_WORK: Final = 17 * 16384**2
_LONGEST_EC_KEY_BITS: Final = 521
_RSA_TYPES: Final = frozenset({crypto.TYPE_RSA, 912})  # the second is RSASSA-PSS, NID_rsassaPss
_EC_TYPE: Final = crypto.TYPE_EC
_EDWARDS_TYPES: Final = frozenset({1087, 1088})  # NID_ED25519 and NID_ED448

ServerKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
ServerIdentityPair: TypeAlias = tuple[Sequence[x509.Certificate], ServerKey]


@dataclass(frozen=True, slots=True)
class Peer:
    """The result of a handshake: DER certificates, the leaf first, and the server name that the peer sent (SNI).

    Without a certificate, ``chain`` is empty.
    """

    chain: tuple[bytes, ...] = field(repr=False)
    server_name: str | None

    @property
    def leaf(self) -> bytes:
        """The certificate, in DER, whose private key the peer has proved to hold."""
        return self.chain[0]


def peer_tls_context(
    identities: Sequence[ServerIdentityPair], alpn: bytes, *, requires_certificate: bool
) -> SSL.Context:
    """Return a context that asks for a certificate and admits any; raise ValueError if a key does not fit its chain.

    ``identities`` are chains and keys of several algorithms, the preferred one first.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_TLS_1_2_CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    # An idle connection should not hold buffers for records.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    _never_resume(context)
    required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if requires_certificate else 0
    context.set_verify(SSL.VERIFY_PEER | required, _admit)
    context.set_verify_depth(_MAX_CHAIN_DEPTH)
    context.set_alpn_select_callback(_selecting(alpn))
    for chain, key in identities:
        _identify_as(context, chain, key)
    return context


def peer_of(connection: SSL.Connection) -> Peer:
    """Return the peer's chain and server name after the handshake."""
    leaf = connection.get_peer_certificate()
    # On the server's side OpenSSL's chain does not contain the leaf.
    certificates = () if leaf is None else (leaf, *(connection.get_peer_cert_chain() or ()))
    name = connection.get_servername()
    return Peer(
        chain=tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in certificates),
        server_name=None if name is None else name.decode("ascii", "replace"),
    )


def _never_resume(context: SSL.Context) -> None:
    """Make every handshake a full one: a resumed session has no chain, and would continue after a revocation."""
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    # Without a session id context OpenSSL ends the connection of a client that tries to resume. With one it only
    # refuses the resumption.
    context.set_session_id(b"thingmint")


def _identify_as(context: SSL.Context, chain: Sequence[x509.Certificate], private_key: ServerKey) -> None:
    if not chain or chain[0].public_key() != private_key.public_key():
        raise ValueError("the private key does not belong to the first certificate of the chain")
    # OpenSSL keeps a chain for each algorithm only if it reads it from a file.
    with in_memory(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)) as path:
        context.use_certificate_chain_file(path)
    context.use_privatekey(private_key)


def _admit(_connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    """Accept every fault, except a chain that is too long, and a key whose signatures take too long to verify.

    OpenSSL calls this before it uses a certificate's key. It does not stop at a wrong signature, so an adversary needs
    no key for such a chain. The last call about the leaf is one without a fault.
    """
    if error == _CHAIN_TOO_LONG:
        return False
    return (depth == 0 and not ok) or _is_quick(certificate)


def _is_quick(certificate: crypto.X509) -> bool:
    """Return whether a signature by the certificate's key is verified in about a millisecond."""
    try:
        key = certificate.get_pubkey()
        if key.type() not in _RSA_TYPES:
            return key.type() in _EDWARDS_TYPES or (key.type() == _EC_TYPE and key.bits() <= _LONGEST_EC_KEY_BITS)
        rsa_key = certificate.to_cryptography().public_key()
    except (crypto.Error, ValueError, UnsupportedAlgorithm):
        # OpenSSL cannot read the key, or only OpenSSL can.
        return False
    assert isinstance(rsa_key, rsa.RSAPublicKey), "both read the same type"
    return rsa_key.key_size**2 * rsa_key.public_numbers().e.bit_length() <= _MOST_RSA_WORK


def _selecting(
    protocol: bytes,
) -> Callable[[SSL.Connection, list[bytes]], bytes | SSL._NoOverlappingProtocols]:
    def select(_connection: SSL.Connection, offered: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
        # Clients that offer other protocols (SDKs do, on every port) continue without one.
        return protocol if protocol in offered else SSL.NO_OVERLAPPING_PROTOCOLS

    return select
