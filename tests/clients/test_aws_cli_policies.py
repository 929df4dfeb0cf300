"""A policy's life in a real shell, as in AWS's guide: create, attach, try out, change, detach, delete."""

import json
from pathlib import Path

import pytest
from tests.clients.test_aws_cli import Shell, shell_of
from tests.support.clients.aws import Live, allow, policy

CREATE_AND_ATTACH = """
aws iot create-policy --policy-name LightBulb --policy-document file://policy.json \
  --query "[policyName, policyVersionId]" --output text
arn=$(aws iot create-keys-and-certificate --set-as-active --query certificateArn --output text)
aws iot attach-policy --policy-name LightBulb --target "$arn"
aws iot list-attached-policies --target "$arn" --query "policies[].policyName" --output text
aws iot list-targets-for-policy --policy-name LightBulb --query "targets[0] == '$arn'"
"""

TRY_OUT = """
client=arn:aws:iot:us-east-1:000000000000:client/bulb
aws iot get-effective-policies --principal "$arn" --query "effectivePolicies[].policyName" --output text
aws iot test-authorization --principal "$arn" --client-id bulb --auth-infos "actionType=CONNECT,resources=$client" \
  --query "authResults[].authDecision" --output text
"""

CHANGE = """
aws iot create-policy-version --policy-name LightBulb --policy-document file://policy.json --set-as-default \
  --query "[policyVersionId, isDefaultVersion]" --output text
aws iot set-default-policy-version --policy-name LightBulb --policy-version-id 1
aws iot delete-policy-version --policy-name LightBulb --policy-version-id 2
aws iot list-policy-versions --policy-name LightBulb \
  --query "policyVersions[].[versionId, isDefaultVersion]" --output text
"""

REMOVE = """
aws iot delete-policy --policy-name LightBulb || echo refused
aws iot detach-policy --policy-name LightBulb --target "$arn"
aws iot delete-policy --policy-name LightBulb
aws iot get-policy --policy-name LightBulb || echo refused
aws iot create-policy --policy-name LightBulb --policy-document policy.json || echo refused
"""


@pytest.fixture
def shell(live: Live, tmp_path: Path) -> Shell:
    """A shell for the service on each storage, with a policy in a file."""
    statement = allow("iot:Connect", resource="arn:aws:iot:us-east-1:000000000000:client/${iot:ClientId}")
    (tmp_path / "policy.json").write_text(json.dumps(policy(statement), indent=2))
    return shell_of(live, tmp_path)


def test_a_policy_lives_its_life_in_a_shell(shell: Shell) -> None:
    finished = shell.run(CREATE_AND_ATTACH + TRY_OUT + CHANGE + REMOVE)

    assert finished.stdout.split() == [
        *("LightBulb", "1", "LightBulb", "true"),
        *("LightBulb", "ALLOWED"),
        *("2", "True", "1", "True"),
        *("refused", "refused", "refused"),
    ]
    assert "(DeleteConflictException) when calling the DeletePolicy operation" in finished.stderr
    assert "(ResourceNotFoundException) when calling the GetPolicy operation" in finished.stderr
    # The usual slip, a file's name for its content.
    assert (
        "(MalformedPolicyException) when calling the CreatePolicy operation: Policy document is Malformed: line 1"
        in (finished.stderr)
    )
