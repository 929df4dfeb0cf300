"""Owns one valid request of every operation that changes the registry, and what must exist before it.

Each is made for an account of its own, so that names may repeat. Words in braces stand for what earlier requests
answered.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import new_ca
from tests.support.registration.fleet import DOCUMENT
from tests.support.registration.provisioning import BODY

POLICY = json.dumps(DOCUMENT)
OTHER_POLICY = json.dumps(DOCUMENT | {"Statement": [DOCUMENT["Statement"][0] | {"Action": "iot:Publish"}]})  # type: ignore[operator]  # a list of one object
PROVISIONED = json.dumps(
    {
        "Parameters": {"Name": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "policy"}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}, "Status": "Active"},
            },
        },
    }
).replace('{"Ref": "CSR"}', json.dumps(csr_pem("p-256")))

Call: TypeAlias = Callable[["Request", str], Awaitable[Any]]
"""Sends a request for the account that the name stands for: "own" or "other"."""


@dataclass(frozen=True)
class Request:
    """A request as it travels; ``kept`` names members of the answer that later requests mention."""

    method: str
    target: str
    body: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    account: str = "own"

    def filled(self, words: Mapping[str, str]) -> "Request":
        """Return the request with the words put in."""

        def fill(text: str) -> str:
            for name, word in words.items():
                text = text.replace("{" + name + "}", word)
            return text

        body = json.loads(fill(json.dumps(self.body)))
        headers = {name: fill(value) for name, value in self.headers.items()}
        return Request(self.method, fill(self.target), body, headers, self.kept, self.account)


@dataclass(frozen=True)
class Mutation:
    """An operation: its request, and the requests before it."""

    operation: str
    request: Request
    before: Sequence[Request] = ()


def _post(target: str, kept: Mapping[str, str] | None = None, /, **body: object) -> Request:
    return Request("POST", target, body, kept=kept or {})


def _put(target: str, /, **body: object) -> Request:
    return Request("PUT", target, body)


def _patch(target: str, account: str = "own", /, **body: object) -> Request:
    return Request("PATCH", target, body, account=account)


def _delete(target: str, **headers: str) -> Request:
    return Request("DELETE", target, headers=headers)


_KEPT = {"certificate": "certificateId", "arn": "certificateArn"}
CERTIFICATE = _post("/certificates", _KEPT, certificateSigningRequest=csr_pem("p-256"))
WITH_KEYS = _post("/keys-and-certificate", _KEPT)
CA = _post(
    "/cacertificate?setAsActive=true", {"ca": "certificateId"}, caCertificate="{ca pem}", certificateMode="SNI_ONLY"
)
NAMED = _post("/policies/policy", policyDocument=POLICY)
SECOND = _post("/policies/policy/version", policyDocument=OTHER_POLICY)
ATTACHED = _put("/target-policies/policy", target="{arn}")
TRANSFERRED = _patch("/transfer-certificate/{certificate}?targetAwsAccount={other}")
TEMPLATE = _post(
    "/provisioning-templates",
    templateName="fleet",
    templateBody=BODY,
    provisioningRoleArn="arn:aws:iam::123456789012:role/Provisioning",
    enabled=True,
)
TEMPLATE_VERSION = _post("/provisioning-templates/fleet/versions", templateBody=BODY)
PROVIDER = _post(
    "/certificate-providers/provider",
    lambdaFunctionArn="arn:aws:lambda:eu-west-1:123456789012:function:sign",
    accountDefaultForOperations=["CreateCertificateFromCsr"],
)
ROLE = "arn:aws:iam::123456789012:role/Other"
ALIAS = _post("/role-aliases/alias", roleArn=ROLE)
THING = _post("/things/thing")
TYPE = _post("/thing-types/type")
GROUP, OTHER_GROUP = _post("/thing-groups/group"), _post("/thing-groups/other-group")
MEMBER = _put("/thing-groups/addThingToThingGroup", thingGroupName="group", thingName="thing")
PRINCIPAL = Request("PUT", "/things/thing/principals", headers={"x-amzn-principal": "{arn}"})
BILLING = _post("/billing-groups/billing")
BILLED = _put("/billing-groups/addThingToBillingGroup", billingGroupName="billing", thingName="thing")
EVENTS = Request("PATCH", "/event-configurations", {"eventConfigurations": {"THING": {"Enabled": True}}})
TAGS = _post("/tags", resourceArn="arn:aws:iot:eu-west-1:{own}:policy/policy", tags=[{"Key": "a", "Value": "b"}])
TASK = _post(
    "/thing-registration-tasks",
    {"task": "taskId"},
    templateBody=PROVISIONED,
    inputFileBucket="factory",
    inputFileKey="devices.json",
    roleArn="arn:aws:iam::123456789012:role/Provisioning",
)

MUTATIONS: tuple[Mutation, ...] = (
    Mutation("CreateKeysAndCertificate", WITH_KEYS),
    Mutation("CreateCertificateFromCsr", CERTIFICATE),
    Mutation("UpdateCertificate", _put("/certificates/{certificate}?newStatus=ACTIVE"), [CERTIFICATE]),
    Mutation("DeleteCertificate", _delete("/certificates/{certificate}"), [CERTIFICATE]),
    Mutation("GetRegistrationCode", Request("GET", "/registrationcode")),
    Mutation("DeleteRegistrationCode", _delete("/registrationcode"), [Request("GET", "/registrationcode")]),
    Mutation("RegisterCACertificate", CA),
    Mutation("UpdateCACertificate", _put("/cacertificate/{ca}?newStatus=INACTIVE"), [CA]),
    Mutation(
        "DeleteCACertificate", _delete("/cacertificate/{ca}"), [CA, _put("/cacertificate/{ca}?newStatus=INACTIVE")]
    ),
    Mutation("RegisterCertificate", _post("/certificate/register", certificatePem="{device pem}"), [CA]),
    Mutation("RegisterCertificateWithoutCA", _post("/certificate/register-no-ca", certificatePem="{device pem}")),
    Mutation("TransferCertificate", TRANSFERRED, [CERTIFICATE]),
    Mutation(
        "AcceptCertificateTransfer",
        _patch("/accept-certificate-transfer/{certificate}", "other"),
        [CERTIFICATE, TRANSFERRED],
    ),
    Mutation(
        "RejectCertificateTransfer",
        _patch("/reject-certificate-transfer/{certificate}", "other"),
        [CERTIFICATE, TRANSFERRED],
    ),
    Mutation(
        "CancelCertificateTransfer", _patch("/cancel-certificate-transfer/{certificate}"), [CERTIFICATE, TRANSFERRED]
    ),
    Mutation("CreatePolicy", NAMED),
    Mutation("DeletePolicy", _delete("/policies/policy"), [NAMED]),
    Mutation("CreatePolicyVersion", SECOND, [NAMED]),
    Mutation("DeletePolicyVersion", _delete("/policies/policy/version/2"), [NAMED, SECOND]),
    Mutation("SetDefaultPolicyVersion", _patch("/policies/policy/version/2"), [NAMED, SECOND]),
    Mutation("AttachPolicy", ATTACHED, [CERTIFICATE, NAMED]),
    Mutation("DetachPolicy", _post("/target-policies/policy", target="{arn}"), [CERTIFICATE, NAMED, ATTACHED]),
    Mutation(
        "AttachPrincipalPolicy",
        Request("PUT", "/principal-policies/policy", headers={"x-amzn-iot-principal": "{arn}"}),
        [CERTIFICATE, NAMED],
    ),
    Mutation(
        "DetachPrincipalPolicy",
        Request("DELETE", "/principal-policies/policy", headers={"x-amzn-iot-principal": "{arn}"}),
        [CERTIFICATE, NAMED, ATTACHED],
    ),
    Mutation("CreateProvisioningTemplate", TEMPLATE),
    Mutation("UpdateProvisioningTemplate", _patch("/provisioning-templates/fleet", description="new"), [TEMPLATE]),
    Mutation("DeleteProvisioningTemplate", _delete("/provisioning-templates/fleet"), [TEMPLATE]),
    Mutation("CreateProvisioningTemplateVersion", TEMPLATE_VERSION, [TEMPLATE]),
    Mutation(
        "DeleteProvisioningTemplateVersion",
        _delete("/provisioning-templates/fleet/versions/2"),
        [TEMPLATE, TEMPLATE_VERSION],
    ),
    Mutation("CreateProvisioningClaim", _post("/provisioning-templates/fleet/provisioning-claim"), [TEMPLATE]),
    Mutation("RegisterThing", _post("/things", templateBody=PROVISIONED, parameters={"Name": "sensor"}), [NAMED]),
    Mutation("StartThingRegistrationTask", TASK),
    Mutation("StopThingRegistrationTask", _put("/thing-registration-tasks/{task}/cancel"), [TASK]),
    Mutation("CreateCertificateProvider", PROVIDER),
    Mutation(
        "UpdateCertificateProvider",
        _put(
            "/certificate-providers/provider",
            lambdaFunctionArn="arn:aws:lambda:eu-west-1:123456789012:function:other",
            accountDefaultForOperations=["CreateCertificateFromCsr"],
        ),
        [PROVIDER],
    ),
    Mutation("DeleteCertificateProvider", _delete("/certificate-providers/provider"), [PROVIDER]),
    Mutation("UpdateEventConfigurations", EVENTS),
    Mutation("CreateRoleAlias", ALIAS),
    Mutation("UpdateRoleAlias", _put("/role-aliases/alias", roleArn=ROLE, credentialDurationSeconds=900), [ALIAS]),
    Mutation("DeleteRoleAlias", _delete("/role-aliases/alias"), [ALIAS]),
    Mutation("TagResource", TAGS, [NAMED]),
    Mutation("UntagResource", _post("/untag", resourceArn=TAGS.body["resourceArn"], tagKeys=["a"]), [NAMED, TAGS]),
    Mutation("CreateThing", THING, [EVENTS]),
    Mutation("UpdateThing", _patch("/things/thing", expectedVersion=1), [EVENTS, THING]),
    Mutation("DeleteThing", _delete("/things/thing"), [EVENTS, THING]),
    Mutation("CreateThingType", TYPE),
    Mutation(
        "UpdateThingType",
        _patch(
            "/thing-types/type",
            thingTypeProperties={
                "mqtt5Configuration": {"propagatingAttributes": [{"userPropertyKey": "key", "thingAttribute": "name"}]}
            },
        ),
        [TYPE],
    ),
    Mutation("DeprecateThingType", _post("/thing-types/type/deprecate"), [TYPE]),
    Mutation("DeleteThingType", _delete("/thing-types/type"), [TYPE, _post("/thing-types/type/deprecate")]),
    Mutation("CreateThingGroup", GROUP),
    Mutation(
        "UpdateThingGroup",
        _patch("/thing-groups/group", expectedVersion=1, thingGroupProperties={"thingGroupDescription": "new"}),
        [GROUP],
    ),
    Mutation("DeleteThingGroup", _delete("/thing-groups/group"), [GROUP]),
    Mutation("AddThingToThingGroup", MEMBER, [THING, GROUP]),
    Mutation(
        "RemoveThingFromThingGroup",
        _put("/thing-groups/removeThingFromThingGroup", thingGroupName="group", thingName="thing"),
        [THING, GROUP, MEMBER],
    ),
    Mutation(
        "UpdateThingGroupsForThing",
        _put(
            "/thing-groups/updateThingGroupsForThing",
            thingName="thing",
            thingGroupsToAdd=["other-group"],
            thingGroupsToRemove=["group"],
        ),
        [THING, GROUP, OTHER_GROUP, MEMBER],
    ),
    Mutation("AttachThingPrincipal", PRINCIPAL, [CERTIFICATE, THING]),
    Mutation(
        "DetachThingPrincipal",
        Request("DELETE", "/things/thing/principals", headers={"x-amzn-principal": "{arn}"}),
        [CERTIFICATE, THING, PRINCIPAL],
    ),
    Mutation("CreateBillingGroup", BILLING),
    Mutation(
        "UpdateBillingGroup",
        _patch("/billing-groups/billing", expectedVersion=1, billingGroupProperties={"billingGroupDescription": "new"}),
        [BILLING],
    ),
    Mutation("DeleteBillingGroup", _delete("/billing-groups/billing"), [BILLING]),
    Mutation("AddThingToBillingGroup", BILLED, [THING, BILLING]),
    Mutation(
        "RemoveThingFromBillingGroup",
        _put("/billing-groups/removeThingFromBillingGroup", billingGroupName="billing", thingName="thing"),
        [THING, BILLING, BILLED],
    ),
)

# What devices ask for on the provisioning topics; their names are those of the API's operations with this behind them.
BY_DEVICE = " by a device"
IDENTITY = Request(
    "MQTT",
    "$aws/certificates/create-from-csr/json",
    {"certificateSigningRequest": csr_pem("p-256")},
    kept={"certificate": "certificateId", "token": "certificateOwnershipToken"},
)
DEVICE_MUTATIONS: tuple[Mutation, ...] = (
    Mutation(f"CreateKeysAndCertificate{BY_DEVICE}", Request("MQTT", "$aws/certificates/create/json")),
    Mutation(f"CreateCertificateFromCsr{BY_DEVICE}", IDENTITY),
    Mutation(
        f"RegisterThing{BY_DEVICE}",
        Request(
            "MQTT",
            "$aws/provisioning-templates/fleet/provision/json",
            {"certificateOwnershipToken": "{token}", "parameters": {"SerialNumber": "1"}},
        ),
        [TEMPLATE, IDENTITY],
    ),
)

# Operations that change nothing, by how their names begin; the rest is above.
READING = ("Describe", "Get", "List", "Test")


async def prepared(mutation: Mutation, call: Call, own: str, other: str) -> Request:
    """Send what must come before, and return the request with what that answered."""
    ca = new_ca()
    words = {"own": own, "other": other, "ca pem": _escaped(ca.pem), "device pem": _escaped(ca.issue_pem())}
    for request in mutation.before:
        answer = await call(request.filled(words), request.account)
        words |= {word: str(answer[member]) for word, member in request.kept.items()}
    return mutation.request.filled(words)


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]
