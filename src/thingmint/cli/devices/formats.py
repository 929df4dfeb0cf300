"""Owns the formats in which a device's certificate and key are delivered. Encrypts only PKCS#12."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.issuance.keys.private_keys import PrivateKey

PEM_KEY, PEM_CERTIFICATE, ENVELOPED_KEY = ".key.pem", ".cert.pem", ".key.p7m"
_COLUMNS = 12
_PRIVATE, _PUBLIC = 0o600, 0o644


class FileOf(NamedTuple):
    """A file of a device: the ending of its name, its content and mode."""

    ending: str
    content: bytes
    mode: int

    def __repr__(self) -> str:
        """Return only the ending, because the content may be a private key."""
        return f"<file {self.ending}>"


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """A certificate, and the private key if the station has it; the passphrase encrypts PKCS#12."""

    name: str
    der: bytes
    key: PrivateKey | None = field(repr=False)
    passphrase: bytes | None = field(default=None, repr=False)


def files_of(identity: DeviceIdentity, formats: tuple[str, ...]) -> list[FileOf]:
    """Return the files of the formats except the private key in PEM, which the folder has already staged."""
    return [file for each in formats for file in FORMATS[each](identity)]


def _pem(identity: DeviceIdentity) -> Iterator[FileOf]:
    yield FileOf(PEM_CERTIFICATE, certificate_pem(identity.der).encode(), _PUBLIC)


def _der(identity: DeviceIdentity) -> Iterator[FileOf]:
    yield FileOf(".cert.der", identity.der, _PUBLIC)
    if identity.key is not None:
        yield FileOf(".key.der", _pkcs8(identity.key, serialization.Encoding.DER), _PRIVATE)


def _p12(identity: DeviceIdentity) -> Iterator[FileOf]:
    assert identity.key is not None
    assert identity.passphrase, "the command line asks for it"
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(50_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(identity.passphrase)
    )
    certificate = certificate_in_der(identity.der)
    content = pkcs12.serialize_key_and_certificates(identity.name.encode(), identity.key, certificate, None, encryption)
    yield FileOf(".p12", content, _PRIVATE)


def _combined(identity: DeviceIdentity) -> Iterator[FileOf]:
    assert identity.key is not None
    text = certificate_pem(identity.der).encode() + _pkcs8(identity.key, serialization.Encoding.PEM)
    yield FileOf(".pem", text, _PRIVATE)


def _c_header(identity: DeviceIdentity) -> Iterator[FileOf]:
    assert identity.key is not None
    key = _pkcs8(identity.key, serialization.Encoding.DER)
    guard = "THINGMINT_DEVICE_IDENTITY_H"
    text = (
        f"/* {identity.name}: certificate and private key (PKCS#8), both in DER. */\n"
        f"#ifndef {guard}\n#define {guard}\n\n"
        f"{_array('device_certificate_der', identity.der)}\n{_array('device_private_key_der', key)}\n#endif\n"
    )
    yield FileOf(".h", text.encode(), _PRIVATE)


def _array(name: str, content: bytes) -> str:
    lines = [
        "  " + " ".join(f"0x{octet:02x}," for octet in content[start : start + _COLUMNS])
        for start in range(0, len(content), _COLUMNS)
    ]
    body = "\n".join(lines)
    length = f"static const unsigned int {name}_len = {len(content)};"
    return f"static const unsigned char {name}[] = {{\n{body}\n}};\n{length}\n"


def _pkcs8(key: PrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


FORMATS: dict[str, Callable[[DeviceIdentity], Iterator[FileOf]]] = {
    "pem": _pem,
    "der": _der,
    "p12": _p12,
    "combined": _combined,
    "c-header": _c_header,
}
WITHOUT_KEY = ("pem", "der")
"""The formats without a private key, for secure elements and for keys that are encrypted to a recipient."""
