"""What a provisioning claim may do, and what it may not."""

import pytest

from thingmint.core.identifiers import AccountId, Region, Scope, TemplateName, iot_arn
from thingmint.core.policies.authorizer import Authorizer
from thingmint.core.provisioning.claim_policy import claim_policy

SCOPE = Scope(AccountId("123456789012"), Region("us-east-1"))
CLAIM = Authorizer([claim_policy(SCOPE, TemplateName("fleet"))], {})
TOPICS = [
    "$aws/certificates/create/json",
    "$aws/certificates/create/cbor/accepted",
    "$aws/certificates/create-from-csr/json/rejected",
    "$aws/provisioning-templates/fleet/provision/json",
    "$aws/provisioning-templates/fleet/provision/cbor/accepted",
]
OTHERS = [
    "#",
    "a",
    "$aws/certificates/#",
    "$aws/certificates/created/json",
    "$aws/provisioning-templates/fleet2/provision/json",
    "$aws/provisioning-templates/+/provision/json",
    "$aws/things/lamp/shadow/update",
]


def test_claim_connects_by_any_name() -> None:
    assert CLAIM.allows("iot:Connect", iot_arn(SCOPE, "client/anything"))


@pytest.mark.parametrize("topic", TOPICS)
def test_claim_speaks_of_certificates_and_of_its_template(topic: str) -> None:
    assert CLAIM.allows("iot:Publish", iot_arn(SCOPE, f"topic/{topic}"))
    assert CLAIM.allows("iot:Receive", iot_arn(SCOPE, f"topic/{topic}"))
    assert CLAIM.allows("iot:Subscribe", iot_arn(SCOPE, f"topicfilter/{topic}"))


@pytest.mark.parametrize("topic", OTHERS)
def test_claim_speaks_of_nothing_else(topic: str) -> None:
    assert not CLAIM.allows("iot:Publish", iot_arn(SCOPE, f"topic/{topic}"))
    assert not CLAIM.allows("iot:Receive", iot_arn(SCOPE, f"topic/{topic}"))
    assert not CLAIM.allows("iot:Subscribe", iot_arn(SCOPE, f"topicfilter/{topic}"))


@pytest.mark.parametrize("action", ["iot:RetainPublish", "iot:CreateKeysAndCertificate", "iot:DeleteCertificate"])
def test_claim_does_nothing_else(action: str) -> None:
    assert not CLAIM.allows(action, iot_arn(SCOPE, f"topic/{TOPICS[0]}"))
    assert not CLAIM.allows(action, "*")
