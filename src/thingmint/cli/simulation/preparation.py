"""Owns the resources that a simulation creates before its devices begin, and removes: a policy, a template, a claim.

Their names contain the name of the run, so resources of the real fleet are not touched.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.simulation.api import Api
from thingmint.cli.simulation.clients.identity import Identity
from thingmint.core.error_text import in_words
from thingmint.core.topics.patterns import (
    CREATE_CERTIFICATE_FROM_CSR,
    CREATE_KEYS_AND_CERTIFICATE,
    REGISTER_THING,
    TEMPLATE_NAME,
)

PARAMETER = "Device"
_THING = "${iot:Connection.Thing.ThingName}"
# Stored but not used, because Thingmint calls no other AWS service.
_ROLE = "arn:aws:iam::000000000000:role/thingmint-fleet-simulate"


@dataclass(slots=True)
class CreatedResources:
    """The resources of this run except its devices, with functions that remove them, the last one first."""

    names: list[str] = field(default_factory=list)
    _removals: list[Callable[[], object]] = field(default_factory=list, repr=False)

    def add(self, name: str, removal: Callable[[], object]) -> None:
        """Record a resource that was created."""
        self.names.append(name)
        self._removals.append(removal)

    @contextmanager
    def adding(self, name: str, removal: Callable[[], object]) -> Iterator[None]:
        """Record the resource that the block creates, also without an answer; do not record a refused one."""
        try:
            yield
        except ServiceRefused:
            raise
        except BaseException:
            self.add(name, removal)
            raise
        self.add(name, removal)

    def remove(self) -> list[str]:
        """Remove all resources, and return the reasons of failures."""
        troubles: list[str] = []
        while self._removals:
            name, removal = self.names.pop(), self._removals.pop()
            try:
                removal()
            except ServiceUnreachable as error:
                troubles.append(f"{name}: {in_words(error)}")
            except ServiceRefused as refusal:
                if not refusal.is_not_found:
                    troubles.append(f"{name}: {in_words(refusal)}")
        return troubles


@dataclass(frozen=True, slots=True)
class SharedPolicy:
    """The policy that all devices of a run share, and its changes. Its methods block."""

    api: Api = field(repr=False)
    run: str

    def change_harmlessly(self) -> None:
        """Allow one more action, which no device uses."""
        self._set([*_device_statements(self.run), _allow("iot:Publish", f"topic/{self.run}/harmless")])

    def forbid_connections(self) -> None:
        """Remove the permission iot:Connect."""
        self._set(_device_statements(self.run)[1:])

    def restore(self) -> None:
        """Restore the first document."""
        self._set(_device_statements(self.run))

    def _set(self, statements: list[dict[str, object]]) -> None:
        path = f"/policies/{policy_of_devices(self.run)}"
        former = self.api.text("GET", path, "defaultVersionId")
        self.api.call("POST", f"{path}/version", {"setAsDefault": "true"}, {"policyDocument": _document(statements)})
        # A policy has at most five versions, and can be deleted only when it has no version except the default one.
        self.api.call("DELETE", f"{path}/version/{former}")


@dataclass(frozen=True, slots=True)
class MadeCertificate:
    """A certificate that the service has created for a run."""

    certificate_id: str
    identity: Identity = field(repr=False)


def policy_of_devices(run: str) -> str:
    """Return the name of the policy of the run's devices."""
    return f"{run}-device"


def storm_topic(run: str) -> str:
    """Return the topic below which devices of a run may publish to each other."""
    return f"{run}/storm"


def make_template(api: Api, made: CreatedResources, run: str) -> str:
    """Return the name of a new template.

    Its devices may publish and subscribe below their own name and below the topic of the run's storms only.
    """
    policy = _make_policy(api, made, policy_of_devices(run), _device_statements(run))
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


def make_claim(api: Api, made: CreatedResources, run: str, template: str) -> Identity:
    """Return a new claim certificate that may provision devices by this template, and nothing else."""
    policy = _make_policy(api, made, f"{run}-claim", _claim_statements(template))
    return _make_certificate(api, made, "claim", policy).identity


def make_bystander(api: Api, made: CreatedResources, name: str) -> MadeCertificate:
    """Return a new certificate that may connect by this name, and publish and subscribe to the topic of that name."""
    statements = [
        _allow("iot:Connect", f"client/{name}"),
        _allow("iot:Publish", f"topic/{name}"),
        _allow("iot:Receive", f"topic/{name}"),
        _allow("iot:Subscribe", f"topicfilter/{name}"),
    ]
    return _make_certificate(api, made, "bystander", _make_policy(api, made, name, statements))


def _make_certificate(api: Api, made: CreatedResources, purpose: str, policy: str) -> MadeCertificate:
    created = api.call("POST", "/keys-and-certificate", {"setAsActive": "true"})
    certificate_id, arn = str(created["certificateId"]), str(created["certificateArn"])
    path = f"/certificates/{certificate_id}"
    made.add(f"{purpose} certificate {certificate_id}", lambda: remove_certificate(api, path))
    api.call("PUT", f"/target-policies/{policy}", body={"target": arn})
    key_pair = created["keyPair"]
    assert isinstance(key_pair, dict)
    return MadeCertificate(certificate_id, Identity(str(created["certificatePem"]), str(key_pair["PrivateKey"])))


def parameters_of(api: Api, template: str) -> Mapping[str, str]:
    """Return a value for each parameter of the template that devices must give: a placeholder for the device's name.

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


def _make_policy(api: Api, made: CreatedResources, name: str, statements: list[dict[str, object]]) -> str:
    with made.adding(f"policy {name}", lambda: api.call("DELETE", f"/policies/{name}")):
        api.call("POST", f"/policies/{name}", body={"policyDocument": _document(statements)})
    return name


def _document(statements: list[dict[str, object]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def remove_certificate(api: Api, path: str) -> None:
    """Delete the certificate at this path of the API, and detach its policies."""
    api.call("PUT", path, {"newStatus": "INACTIVE"})
    api.call("DELETE", path, {"forceDelete": "true"})


def _device_statements(run: str) -> list[dict[str, object]]:
    return [
        _allow("iot:Connect", f"client/{_THING}"),
        *(
            _allow(action, f"{kind}/{topic}/*")
            for topic in (_THING, storm_topic(run))
            for action, kind in (("iot:Publish", "topic"), ("iot:Receive", "topic"), ("iot:Subscribe", "topicfilter"))
        ),
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
    # The wildcards match the service's partition, account and region.
    return {"Effect": "Allow", "Action": action, "Resource": f"arn:*:iot:*:*:{resource}"}
