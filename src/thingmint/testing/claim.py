"""Owns fleet provisioning by claim in a test: a claim certificate, and the devices that register with it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from thingmint.testing.certificates import new_key_pair
from thingmint.testing.device import Device

_CREATE = "$aws/certificates/create-from-csr/json"

NewDevice = Callable[..., Device]


class RegistrationRefused(Exception):
    """The service rejected a device's request; ``code`` is AWS's name of the error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim certificate of a template, with which any number of devices register."""

    template_name: str
    device: Device
    new_device: NewDevice

    def register(self, parameters: Mapping[str, str] | None = None, *, connected: bool = True) -> Device:
        """Return a device with a new key, which has registered with the parameters over MQTT.

        Raises RegistrationRefused if the service rejects a request, DeviceRefused if the claim cannot connect.
        """
        keys = new_key_pair()
        self.device.connect()
        try:
            created = _asked(self.device, _CREATE, {"certificateSigningRequest": keys.signing_request("device")})
            answer = _asked(
                self.device,
                f"$aws/provisioning-templates/{self.template_name}/provision/json",
                {
                    "certificateOwnershipToken": created["certificateOwnershipToken"],
                    "parameters": dict(parameters or {}),
                },
            )
        finally:
            self.device.close()
        device = self.new_device(
            answer.get("thingName"), created["certificatePem"], keys.pem, certificate_id=created["certificateId"]
        )
        return device.connect() if connected else device


def _asked(device: Device, topic: str, request: Mapping[str, object]) -> dict[str, Any]:
    """Return the answer to a request on a reserved topic."""
    # AWS sends these topics only to the requesting connection, and needs a separate subscription for each.
    for end in ("accepted", "rejected"):
        device.subscribe(f"{topic}/{end}")
    device.publish(topic, json.dumps(request))
    message = device.receive()
    answer: dict[str, Any] = message.value
    if message.topic.endswith("/rejected"):
        raise RegistrationRefused(
            int(answer.get("statusCode", 0)), str(answer.get("errorCode")), str(answer.get("errorMessage"))
        )
    return answer
