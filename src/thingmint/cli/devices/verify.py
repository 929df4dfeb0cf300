"""Owns the check of a delivery: finds missing, duplicate and changed files, wrong keys, and broken chains.

Reads only the folder and calls no service. The manifest detects accidents, not attacks: it is not signed, so an
attacker who can write to the folder can change the manifest as well.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from thingmint.cli.devices.delivered import (
    DecryptionSecrets,
    DeliveredContents,
    read_delivered,
    read_regular,
    require_regular,
)
from thingmint.cli.devices.folder import JOURNAL, WORK
from thingmint.cli.devices.manifest import ERRORS_CSV, MANIFEST_CSV, MANIFEST_JSON_LINES, DeviceEntry, as_csv
from thingmint.cli.issuing.folder import JOB_FILE, ManifestEntry, public_key_sha256
from thingmint.cli.issuing.issuers_file import ISSUERS
from thingmint.core.error_text import in_words
from thingmint.core.identifiers import certificate_id_of
from thingmint.host.given_files import given_lines
from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.keys.key_pairs import WeakKey
from thingmint.issuance.keys.subject_keys import subject_public_key

_OWN = frozenset({JOB_FILE, JOURNAL, MANIFEST_JSON_LINES, MANIFEST_CSV, ERRORS_CSV, ISSUERS})
_PRIVATE_ENDINGS = (".key.pem", ".key.der", ".p12", ".h")
_OTHERS = 0o077


class Delivered(Struct, frozen=True):
    """The manifest's entry of one identity; ``files`` have a digest if the manifest has one."""

    name: str
    thing: str | None
    certificate_id: str
    serial_number: str
    public_key_sha256: str
    files: dict[str, str | None]


class Verification(Struct):
    """The check of one folder. `problems` also counts ``identities`` and ``closed``."""

    folder: Path
    secrets: DecryptionSecrets
    issuers: list[x509.Certificate]
    identities: int = 0
    closed: int = 0

    def problems(self) -> Iterator[str]:
        """Yield each problem as one line."""
        try:
            delivered = read_manifest(self.folder)
        except FileNotFoundError:
            begun = (self.folder / JOB_FILE).exists()
            reason = "the run is not finished, run its command again" if begun else "`thingmint issue` has made none"
            yield f"{MANIFEST_JSON_LINES} is missing: {reason}"
            return
        except (ValueError, OSError) as error:
            yield f"{MANIFEST_JSON_LINES}: {in_words(error)}"
            return
        self.identities = len(delivered)
        yield from _doubles(delivered)
        yield from self._strangers(delivered)
        if not self.issuers:
            yield f"{ISSUERS} is missing: give the CA certificates with --issuers"
        for each in delivered:
            yield from self._identity(each)

    def _strangers(self, delivered: list[Delivered]) -> Iterator[str]:
        listed = {name for each in delivered for name in each.files}
        for path in sorted(self.folder.iterdir()):
            if path.name == WORK and path.is_dir():
                if left := sorted(each.name for each in path.iterdir()):
                    yield f"{WORK}/{left[0]}: the job is not finished, {len(left)} files wait"
            elif path.name not in listed | _OWN:
                yield f"{path.name}: no line of the manifest names it"

    def _identity(self, each: Delivered) -> Iterator[str]:
        certificates, keys = dict[str, bytes](), dict[str, object]()
        for name, digest in each.files.items():
            try:
                held = self._file(name, digest)
            except FileNotFoundError:
                yield f"{name}: it is missing"
                continue
            except (ValueError, OSError) as error:
                yield f"{name}: {in_words(error)}"
                continue
            self.closed += held.is_closed
            if held.certificate is not None:
                certificates[name] = held.certificate
            if held.public_key is not None:
                keys[name] = held.public_key
        if not certificates:
            yield f"{each.name}: it has no certificate"
        for name, der in certificates.items():
            try:
                yield from (f"{name}: {problem}" for problem in self._certificate(each, der))
            except (ValueError, TypeError, UnsupportedAlgorithm, WeakKey) as error:
                yield f"{name}: {in_words(error)}"
        for name, key in keys.items():
            if public_key_sha256(key) != each.public_key_sha256:  # type: ignore[arg-type]  # a public key, as read
                yield f"{name}: it is not the key of the certificate {each.certificate_id}"

    def _file(self, name: str, digest: str | None) -> DeliveredContents:
        if Path(name).name != name:
            raise ValueError("the manifest names a file outside of the folder")
        path = self.folder / name
        content = read_regular(path)
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("its content is not what the manifest says")
        is_combined = name.endswith(".pem") and not name.endswith(".cert.pem")
        if (name.endswith(_PRIVATE_ENDINGS) or is_combined) and path.stat().st_mode & _OTHERS:
            raise ValueError("others than its owner can read it")
        return read_delivered(path, self.secrets)

    def _certificate(self, each: Delivered, der: bytes) -> Iterator[str]:
        certificate = certificate_in_der(der)
        if certificate_id_of(der) != each.certificate_id:
            yield f"it is another certificate than {each.certificate_id}"
            return
        if f"{certificate.serial_number:x}" != each.serial_number:
            yield "its serial number is not what the manifest says"
        key = subject_public_key(certificate)
        if public_key_sha256(key) != each.public_key_sha256:  # type: ignore[arg-type]  # a public key, as read
            yield "its public key is not what the manifest says"
        if self.issuers and not self._chain_holds(certificate):
            yield f"no CA certificate has issued it: {certificate.issuer.rfc4514_string()}"

    def _chain_holds(self, certificate: x509.Certificate) -> bool:
        """Return whether the chain ends at a self-signed certificate, and each link is signed and valid in time."""
        seen: set[bytes] = set()
        while True:
            issuer = next((each for each in self.issuers if _issued(each, certificate)), None)
            if issuer is None:
                return False
            der = issuer.public_bytes(serialization.Encoding.DER)
            if issuer.subject == issuer.issuer:
                return True
            if der in seen:
                return False
            seen.add(der)
            certificate = issuer


def read_manifest(folder: Path) -> list[Delivered]:
    """Return the entries of a manifest of either kind of run; raise ValueError, which names the line; OSError."""
    entries = list(_entries(folder))
    devices = [each for each in entries if isinstance(each, DeviceEntry)]
    table = folder / MANIFEST_CSV
    if devices and table.exists():
        written = as_csv(devices)
        if table.stat().st_size != len(written) or read_regular(table, len(written)) != written:
            raise ValueError(f"{MANIFEST_CSV} says something else")
    return [_delivered(each) for each in entries]


def read_listed(folder: Path) -> list[DeviceEntry | ManifestEntry]:
    """Return the lines of a folder's manifest; raise ValueError, which names the line, OSError."""
    return list(_entries(folder))


def _entries(folder: Path) -> Iterator[DeviceEntry | ManifestEntry]:
    require_regular(folder / MANIFEST_JSON_LINES)
    for number, line in enumerate(given_lines(folder / MANIFEST_JSON_LINES), start=1):
        is_device = '"row_sha256":' in line
        try:
            yield (
                msgspec.json.decode(line, type=DeviceEntry)
                if is_device
                else msgspec.json.decode(line, type=ManifestEntry)
            )
        except msgspec.DecodeError as error:
            raise ValueError(f"line {number}: {in_words(error)}") from error


def _delivered(entry: DeviceEntry | ManifestEntry) -> Delivered:
    if isinstance(entry, DeviceEntry):
        name, thing, files = entry.thing, entry.thing, dict[str, str | None](entry.files)
    else:
        name, thing = f"{entry.index:06d}", None
        files = {entry.certificate_file: None, entry.private_key_file: None}
    return Delivered(name, thing, entry.certificate_id, entry.serial_number, entry.public_key_sha256, files)


def _doubles(delivered: list[Delivered]) -> Iterator[str]:
    told = {
        "thing": [each.thing for each in delivered if each.thing is not None],
        "certificate": [each.certificate_id for each in delivered],
        "public key": [each.public_key_sha256 for each in delivered],
        "file": [name.casefold() for each in delivered for name in each.files],
    }
    for what, names in told.items():
        for name, count in Counter(names).items():
            if count > 1:
                yield f"the {what} {name} is in {count} lines of the manifest"


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        is_ca = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return is_ca and certificate.not_valid_after_utc <= issuer.not_valid_after_utc
