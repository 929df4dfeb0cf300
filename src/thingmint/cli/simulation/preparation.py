"""Owns what a simulation makes before its devices begin, and takes away again: a policy, a template, a claim.

What is made is named after the run, so that nothing of the fleet's own is touched.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.simulation.api import NOT_FOUND, Api
from thingmint.cli.simulation.identity import Identity
from thingmint.core.topics.patterns import (
    CREATE_CERTIFICATE_FROM_CSR,
    CREATE_KEYS_AND_CERTIFICATE,
    REGISTER_THING,
    TEMPLATE_NAME,
)
from thingmint.host.words import in_words

PARAMETER = "Device"
# Stored and not used: there is no other AWS service here to act on.
_ROLE = "arn:aws:iam::000000000000:role/thingmint-fleet-simulate"


@dataclass(slots=True)
class Made:
    """What exists because of this run, besides its devices, and how each of them is removed: the last one first."""

    names: list[str] = field(default_factory=list)
    _removals: list[Callable[[], object]] = field(default_factory=list, repr=False)

    def add(self, name: str, removal: Callable[[], object]) -> None:
        """Record a resource that was made."""
        self.names.append(name)
        self._removals.append(removal)

    @contextmanager
    def adding(self, name: str, removal: Callable[[], object]) -> Iterator[None]:
        """Record what the block makes, unless it is refused: without an answer it may have been made."""
        try:
            yield
        except ServiceRefused:
            raise
        except BaseException:
            self.add(name, removal)
            raise
        self.add(name, removal)

    def remove(self) -> list[str]:
        """Remove all that can be removed, and return why something could not."""
        troubles: list[str] = []
        while self._removals:
            name, removal = self.names.pop(), self._removals.pop()
            try:
                removal()
            except ServiceUnreachable as error:
                troubles.append(f"{name}: {in_words(error)}")
            except ServiceRefused as refusal:
                if refusal.name != NOT_FOUND:
                    troubles.append(f"{name}: {in_words(refusal)}")
        return troubles


def make_template(api: Api, made: Made, run: str) -> str:
    """Return the name of a new template whose devices may publish and subscribe below their own name only."""
    policy = _make_policy(api, made, f"{run}-device", _device_statements())
    body = {
        "Parameters": {PARAMETER: {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": PARAMETER}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy}},
        },
    }
    request = {
        "templateName": run,
        "templateBody": json.dumps(body),
        "provisioningRoleArn": _ROLE,
        "enabled": True,
    }
    with made.adding(f"provisioning template {run}", lambda: api.call("DELETE", f"/provisioning-templates/{run}")):
        api.call("POST", "/provisioning-templates", body=request)
    return run


def make_claim(api: Api, made: Made, run: str, template: str) -> Identity:
    """Return a new claim certificate that may provision devices by this template, and nothing else."""
    policy = _make_policy(api, made, f"{run}-claim", _claim_statements(template))
    created = api.call("POST", "/keys-and-certificate", {"setAsActive": "true"})
    certificate_id, arn = str(created["certificateId"]), str(created["certificateArn"])
    made.add(f"claim certificate {certificate_id}", lambda: remove_certificate(api, f"/certificates/{certificate_id}"))
    api.call("PUT", f"/target-policies/{policy}", body={"target": arn})
    key_pair = created["keyPair"]
    assert isinstance(key_pair, dict)
    return Identity(str(created["certificatePem"]), str(key_pair["PrivateKey"]))


def parameters_of(api: Api, template: str) -> Mapping[str, str]:
    """Return a value for each parameter that the template wants from its devices: the device's own name.

    Raises LookupError if its body cannot be read.
    """
    try:
        parameters = json.loads(api.text("GET", f"/provisioning-templates/{template}", "templateBody"))["Parameters"]
        return {
            name: "{device}"
            for name, declared in parameters.items()
            if "Default" not in declared and not name.startswith("AWS::")
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LookupError(
            f"the parameters of template {template} cannot be read: name them with --parameter"
        ) from error


def _make_policy(api: Api, made: Made, name: str, statements: list[dict[str, object]]) -> str:
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    with made.adding(f"policy {name}", lambda: api.call("DELETE", f"/policies/{name}")):
        api.call("POST", f"/policies/{name}", body={"policyDocument": document})
    return name


def remove_certificate(api: Api, path: str) -> None:
    """Delete the certificate at this path of the API, with what is attached to it but for things."""
    api.call("PUT", path, {"newStatus": "INACTIVE"})
    api.call("DELETE", path, {"forceDelete": "true"})


def _device_statements() -> list[dict[str, object]]:
    thing = "${iot:Connection.Thing.ThingName}"
    return [
        _allow("iot:Connect", f"client/{thing}"),
        _allow("iot:Publish", f"topic/{thing}/*"),
        _allow("iot:Receive", f"topic/{thing}/*"),
        _allow("iot:Subscribe", f"topicfilter/{thing}/*"),
    ]


def _claim_statements(template: str) -> list[dict[str, object]]:
    operations = (CREATE_KEYS_AND_CERTIFICATE, CREATE_CERTIFICATE_FROM_CSR, REGISTER_THING)
    topics = [operation.in_policies({TEMPLATE_NAME: template}) for operation in operations]
    return [
        _allow("iot:Connect", "client/*"),
        *(_allow(action, f"topic/{topic}") for topic in topics for action in ("iot:Publish", "iot:Receive")),
        *(_allow("iot:Subscribe", f"topicfilter/{topic}") for topic in topics),
    ]


def _allow(action: str, resource: str) -> dict[str, object]:
    # The service's own account and region, as the certificate's ARN names them.
    return {"Effect": "Allow", "Action": action, "Resource": f"arn:aws:iot:*:*:{resource}"}
