"""Owns the registration request of a device: its key or CSR, its template and its parameters.

A key is written to the folder before a request has its public key. With a recipient, the folder gets only the encrypted
key, and the CSR, so that the same request can be repeated after a crash without the key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cryptography import x509
from msgspec import Struct

from thingmint.cli.devices.device import ListedDevice
from thingmint.cli.devices.folder import REQUEST, DeviceFolder
from thingmint.cli.devices.formats import ENVELOPED_KEY, PEM_KEY
from thingmint.cli.devices.recipients import enveloped
from thingmint.cli.devices.templates import (
    SIGNING_REQUEST,
    THING_NAME,
    planned,
    shape_body,
    shape_of,
    shape_parameters,
)
from thingmint.cli.issuing.folder import FolderRefused, public_key_sha256
from thingmint.cli.issuing.station_keys import load_station_key, signing_request
from thingmint.cli.threads import to_its_end
from thingmint.core.errors import InvalidRequest
from thingmint.core.provisioning.plan import ProvisioningPlan
from thingmint.issuance.csr import load_csr
from thingmint.issuance.keys.private_keys import PrivateKey
from thingmint.registration.kernel.ports import KeySource

DEFAULT_SUBJECT = "CN=AWS IoT Certificate"


@dataclass(frozen=True, slots=True)
class Asked:
    """The request of a device; ``staged`` is its key as written to the folder, None if the key was made elsewhere."""

    template: str
    parameters: Mapping[str, str] = field(repr=False)
    policies: tuple[str, ...]
    public_key_sha256: str
    key: PrivateKey | None = field(repr=False)
    staged: bytes | None = field(repr=False)
    is_enveloped: bool
    is_new: bool = False
    """Whether the key was made for this request, so that no earlier request can have its public key."""

    def delivered_ending(self, formats: tuple[str, ...]) -> str | None:
        """Return the ending of the delivered key's name, None if the staged form is not delivered."""
        if self.is_enveloped:
            return ENVELOPED_KEY
        return PEM_KEY if "pem" in formats else None


class Requests(Struct, frozen=True):
    """Makes the requests. ``production`` are the parameters for batch, operator and station.

    Without ``keys``, the list has the devices' CSRs. With ``for_import``, type, groups and policies are left to the
    registry that will import the device.
    """

    keys: KeySource | None
    status: str
    production: Mapping[str, str]
    template: str | None = None
    recipient: x509.Certificate | None = None
    for_import: bool = False

    @property
    def staged_ending(self) -> str:
        """The ending of a staged key's name."""
        return PEM_KEY if self.recipient is None else ENVELOPED_KEY

    def problem_of(self, device: ListedDevice) -> str | None:
        """Return the problem of a device, None if it has none; makes nothing."""
        try:
            x509.Name.from_rfc4514_string(device.subject or DEFAULT_SUBJECT)
            plan = self.plan(device, device.csr or "-")
        except InvalidRequest as error:
            return error.message
        except ValueError as error:
            return f"the subject {device.subject!r} is not one as in RFC 4514: {error.args[0] if error.args else ''}"
        if plan.thing is None or plan.thing.name != device.thing:
            return "the template makes a thing of another name"
        return None

    def plan(self, device: ListedDevice, csr_pem: str) -> ProvisioningPlan:
        """Return the request as the registry interprets it; raise InvalidRequest."""
        # The check covers the whole row, also the part that is left to the import.
        whole = self.template or shape_body(shape_of(device, SIGNING_REQUEST, self.status))
        return planned(whole, self._parameters(device, csr_pem))

    def _parameters(self, device: ListedDevice, csr_pem: str) -> dict[str, str]:
        if self.template is not None:
            return {**device.parameters, THING_NAME: device.thing, SIGNING_REQUEST: csr_pem}
        return shape_parameters(device, {SIGNING_REQUEST: csr_pem})

    async def asked(self, folder: DeviceFolder, device: ListedDevice) -> Asked:
        """Return the request for the device, after its key is durable in the folder."""
        if device.csr is not None:
            return self._asked(device, device.csr, None, None)
        again = await to_its_end(lambda: self._asked_again(folder, device))
        return again or await self._first_asked(folder, device)

    async def _first_asked(self, folder: DeviceFolder, device: ListedDevice) -> Asked:
        assert self.keys is not None, "devices without a request get a key here"
        pair = await self.keys.take()
        return await to_its_end(lambda: self._staged(folder, device, pair.private_key_pem))

    def _staged(self, folder: DeviceFolder, device: ListedDevice, private_key_pem: bytes) -> Asked:
        key = load_station_key(private_key_pem)
        csr_pem = self._request(device, key)
        staged = private_key_pem
        if self.recipient is not None:
            folder.stage(device.thing, REQUEST, csr_pem.encode())
            staged = enveloped(private_key_pem, self.recipient)
        folder.stage(device.thing, self.staged_ending, staged)
        asked = self._asked(device, csr_pem, None if self.recipient else key, staged)
        return replace(asked, is_new=True)

    def _asked_again(self, folder: DeviceFolder, device: ListedDevice) -> Asked | None:
        staged = folder.staged(device.thing, self.staged_ending)
        if staged is None:
            return None
        if self.recipient is not None:
            request = folder.staged(device.thing, REQUEST)
            if request is None:
                raise FolderRefused(f"{folder.staged_key(device.thing, REQUEST)} is missing, and the key is there")
            return self._asked(device, request.decode(), None, staged)
        try:
            key = load_station_key(staged)
        except ValueError as error:
            raise FolderRefused(
                f"{folder.staged_key(device.thing, self.staged_ending)} holds no private key"
            ) from error
        return self._asked(device, self._request(device, key), key, staged)

    def _request(self, device: ListedDevice, key: PrivateKey) -> str:
        return signing_request(key, x509.Name.from_rfc4514_string(device.subject or DEFAULT_SUBJECT))

    def _asked(self, device: ListedDevice, csr_pem: str, key: PrivateKey | None, staged: bytes | None) -> Asked:
        sent = ListedDevice(thing=device.thing) if self.for_import else device
        body = self.template or shape_body(shape_of(sent, SIGNING_REQUEST, self.status))
        parameters = self._parameters(sent if self.template is None else device, csr_pem)
        plan = self.plan(device, csr_pem)
        public_key = load_csr(csr_pem).public_key
        return Asked(
            template=body,
            parameters={**parameters, **self.production},
            policies=tuple(policy.name for policy in plan.policies),
            public_key_sha256=public_key_sha256(public_key),
            key=key,
            staged=staged,
            is_enveloped=self.recipient is not None,
        )
