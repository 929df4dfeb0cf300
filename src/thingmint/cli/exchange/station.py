"""Owns the import of an offline station's devices: their certificates stay the same, and their issuer is registered.

For each device, one request creates thing, certificate and attachments, or finds that they exist. So an import can be
run again, after an interruption or by mistake.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from thingmint.cli.connection import ServiceRefused, SignedClient
from thingmint.cli.devices.delivered import DecryptionSecrets, read_delivered
from thingmint.cli.devices.device import ListedDevice
from thingmint.cli.devices.manifest import DeviceEntry
from thingmint.cli.devices.templates import (
    CA_CERTIFICATE_PEM,
    CERTIFICATE_PEM,
    shape_body,
    shape_of,
    shape_parameters,
)
from thingmint.cli.devices.verify import read_listed
from thingmint.cli.exchange.into_service import Conflict, IntoService
from thingmint.cli.issuing.begin import JobProperties
from thingmint.cli.issuing.folder import ManifestEntry
from thingmint.core.error_text import in_words
from thingmint.core.identifiers import certificate_id_of
from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.encoding.pem import certificate_pem


class StationRefused(Exception):
    """The delivery cannot be imported, and nothing was imported; the message says why."""


class StationImport(IntoService):
    """An import of one delivery. ``trusted`` are the SHA-256 of the issuers that the operator trusts."""

    def __init__(
        self,
        client: SignedClient,
        on_progress: Callable[[int], None],
        folder: Path,
        issuers: list[x509.Certificate],
        trusted: frozenset[str],
    ) -> None:
        super().__init__(client, on_progress)
        self._folder = folder
        self._issuers = issuers
        self._trusted = trusted

    def delivery(self, entries: list[DeviceEntry | ManifestEntry]) -> None:
        """Import the identities of a manifest.

        Raises StationRefused if an issuer is neither registered nor trusted, ServiceUnreachable, ServiceRefused.
        """
        certificates: dict[str, tuple[str, x509.Certificate]] = {}
        for entry in entries:
            try:
                certificates[entry.certificate_id] = self._certificate(entry)
            except (ValueError, TypeError, OSError) as error:
                self.conflicts.append(f"{_name(entry)}: {in_words(error)}")
        for issuer in {_sha256(issuer): issuer for _, issuer in certificates.values()}.values():
            self._know(issuer)
        for entry in entries:
            if (found := certificates.get(entry.certificate_id)) is not None:
                self.each(_name(entry), partial(self._device, entry, *found))

    def _certificate(self, entry: DeviceEntry | ManifestEntry) -> tuple[str, x509.Certificate]:
        """Return the certificate in PEM and its issuer; raise ValueError, OSError."""
        names = entry.files if isinstance(entry, DeviceEntry) else [entry.certificate_file]
        held = (
            read_delivered(self._folder / name, DecryptionSecrets()).certificate
            for name in names
            if Path(name).name == name and (self._folder / name).exists() and not name.endswith((".key.pem", ".p12"))
        )
        der = next((each for each in held if each is not None), None)
        if der is None:
            raise ValueError("no file holds its certificate")
        if certificate_id_of(der) != entry.certificate_id:
            raise ValueError("its file holds another certificate than the manifest says")
        certificate = certificate_in_der(der)
        issuer = next(
            (each for each in self._issuers if each.subject == certificate.issuer and _signed(each, certificate)), None
        )
        if issuer is None:
            raise ValueError("issuers.pem holds no CA certificate that has issued it")
        return certificate_pem(der), issuer

    def _know(self, issuer: x509.Certificate) -> None:
        """Make sure that an issuer is registered as SNI_ONLY: a CA whose devices name their account in TLS's SNI."""
        der, fingerprint = issuer.public_bytes(Encoding.DER), _sha256(issuer)
        try:
            self.call("GET", f"/cacertificate/{certificate_id_of(der)}")
        except ServiceRefused as refusal:
            if not refusal.is_not_found:
                raise
        else:
            return
        if fingerprint not in self._trusted:
            raise StationRefused(
                f"the station's CA is not registered: {issuer.subject.rfc4514_string()}, SHA-256 {fingerprint}. "
                "Compare it with what `thingmint issuer show` prints at the station, and give it with --register-ca"
            )
        body = {"caCertificate": certificate_pem(der), "certificateMode": "SNI_ONLY"}
        query = {"setAsActive": "true", "allowAutoRegistration": "false"}
        self.exists(lambda: self.call("POST", "/cacertificate", query, body))

    def _device(self, entry: DeviceEntry | ManifestEntry, pem: str, issuer: x509.Certificate) -> None:
        source = {
            CERTIFICATE_PEM: pem,
            CA_CERTIFICATE_PEM: certificate_pem(issuer.public_bytes(Encoding.DER)),
        }
        production = JobProperties("", entry.batch, entry.operator, entry.station).production
        if isinstance(entry, DeviceEntry):
            device = ListedDevice(
                thing=entry.thing,
                attributes=entry.attributes,
                type=entry.type,
                groups=entry.groups,
                policies=entry.policies,
            )
            body = shape_body(shape_of(device, CERTIFICATE_PEM, entry.status))
            parameters = shape_parameters(device, source)
        else:
            body, parameters = _WITHOUT_THING, {**source, "Status": entry.status}
        try:
            self.call("POST", "/things", body={"templateBody": body, "parameters": {**parameters, **production}})
        except ServiceRefused as refusal:
            if refusal.name != "ConflictingResourceUpdateException":
                raise
            raise Conflict(refusal.args[0]) from refusal


def read_delivery(folder: Path) -> list[DeviceEntry | ManifestEntry]:
    """Return the manifest of a delivery; raise StationRefused if it cannot be read."""
    try:
        entries = read_listed(folder)
    except (ValueError, OSError) as error:
        raise StationRefused(f"{folder}: {in_words(error)}") from error
    if not entries:
        raise StationRefused(f"{folder}: its manifest lists nothing")
    return entries


def _name(entry: DeviceEntry | ManifestEntry) -> str:
    return f"thing {entry.thing}" if isinstance(entry, DeviceEntry) else f"identity {entry.index:06d}"


def _signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001  the library raises errors of several kinds, and each means no
        return False
    return True


def _sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA256()).hex()


_PROPERTIES: dict[str, Any] = {
    CERTIFICATE_PEM: {"Ref": CERTIFICATE_PEM},
    CA_CERTIFICATE_PEM: {"Ref": CA_CERTIFICATE_PEM},
    "Status": {"Ref": "Status"},
}
_WITHOUT_THING = json.dumps(
    {
        "Parameters": {name: {"Type": "String"} for name in (CERTIFICATE_PEM, CA_CERTIFICATE_PEM, "Status")},
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": _PROPERTIES,
                "OverrideSettings": {"Status": "DO_NOTHING"},
            }
        },
    }
)
