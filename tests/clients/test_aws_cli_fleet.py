"""Fleet provisioning set up in a real shell, as in AWS's guide: policy, template, claims, and all of it removed."""

import json
from pathlib import Path

import pytest
from tests.clients.test_aws_cli import Shell, shell_of
from tests.support.clients.aws import Live, allow, policy
from tests.support.registration.provisioning import BODY

SET_UP = """
aws iot create-policy --policy-name CliPump --policy-document file://device.json --query policyName --output text
aws iot create-provisioning-template --template-name CliFleet --description "pumps" --enabled \
  --provisioning-role-arn arn:aws:iam::000000000000:role/provisioning --template-body file://template.json \
  --tags Key=line,Value=7 --query "[templateName, defaultVersionId]" --output text
arn=$(aws iot describe-provisioning-template --template-name CliFleet --query templateArn --output text)
aws iot list-tags-for-resource --resource-arn "$arn" --query "tags[].Value" --output text
"""

CLAIM = """
aws iot create-policy --policy-name CliClaim --policy-document file://claim.json --query policyName --output text
claim=$(aws iot create-keys-and-certificate --set-as-active --certificate-pem-outfile claim.pem \
  --private-key-outfile claim.key --query certificateArn --output text)
aws iot attach-policy --policy-name CliClaim --target "$claim"
aws iot list-targets-for-policy --policy-name CliClaim --query "targets == ['$claim']"
aws iot create-provisioning-claim --template-name CliFleet --output text \
  --query "[certificateId != null, keyPair.PrivateKey != null]"
"""

NEXT_VERSION = """
aws iot create-provisioning-template-version --template-name CliFleet --template-body file://template.json \
  --set-as-default --query versionId --output text
aws iot delete-provisioning-template-version --template-name CliFleet --version-id 2 || echo refused
aws iot update-provisioning-template --template-name CliFleet --default-version-id 1 --no-enabled
aws iot delete-provisioning-template-version --template-name CliFleet --version-id 2
aws iot describe-provisioning-template --template-name CliFleet --query "[enabled, defaultVersionId]" --output text
aws iot list-provisioning-template-versions --template-name CliFleet --query "versions[].versionId" --output text
"""

REGISTER = """
id=$(aws iot create-keys-and-certificate --query certificateId --output text)
aws iot register-thing --template-body file://template.json \
  --parameters "SerialNumber=cli-7,AWS::IoT::Certificate::Id=$id" --query "resourceArns.thing" --output text
device=$(aws iot list-thing-principals --thing-name sensor-cli-7 --query "principals[0]" --output text)
aws iot describe-certificate --certificate-id "$id" --query "[certificateDescription.status, \
  certificateDescription.certificateArn == '$device']" --output text
"""

REMOVE = """
aws iot delete-policy --policy-name CliClaim || echo refused
aws iot detach-policy --policy-name CliClaim --target "$claim"
aws iot update-certificate --certificate-id "${claim##*/}" --new-status REVOKED
aws iot delete-certificate --certificate-id "${claim##*/}"
aws iot detach-thing-principal --thing-name sensor-cli-7 --principal "$device"
aws iot delete-thing --thing-name sensor-cli-7
aws iot update-certificate --certificate-id "$id" --new-status INACTIVE
aws iot delete-certificate --certificate-id "$id" --force-delete
aws iot delete-policy --policy-name CliClaim
aws iot delete-policy --policy-name CliPump
aws iot delete-provisioning-template --template-name CliFleet
aws iot create-provisioning-claim --template-name CliFleet || echo gone
"""


@pytest.fixture
def shell(live_on_sqlite: Live, tmp_path: Path) -> Shell:
    """A shell with the files that the guide tells its reader to write; for one service: commands start slowly."""
    own = "arn:aws:iot:us-east-1:000000000000"
    device = policy(allow("iot:Connect", resource=f"{own}:client/${{iot:Connection.Thing.ThingName}}"))
    claim = policy(
        allow("iot:Connect"),
        allow("iot:Publish", "iot:Receive", resource=f"{own}:topic/$aws/certificates/create/*"),
        allow("iot:Publish", "iot:Receive", resource=f"{own}:topic/$aws/provisioning-templates/CliFleet/provision/*"),
    )
    (tmp_path / "device.json").write_text(json.dumps(device, indent=2))
    (tmp_path / "claim.json").write_text(json.dumps(claim, indent=2))
    (tmp_path / "template.json").write_text(BODY)
    return shell_of(live_on_sqlite, tmp_path)


def test_fleet_provisioning_is_set_up_and_removed_in_a_shell(shell: Shell) -> None:
    finished = shell.run(SET_UP + CLAIM + NEXT_VERSION + REGISTER + REMOVE)

    thing = "arn:aws:iot:us-east-1:000000000000:thing/sensor-cli-7"
    assert finished.stdout.split() == [
        *("CliPump", "CliFleet", "1", "7"),
        *("CliClaim", "true", "True", "True"),
        *("2", "refused", "False", "1", "1"),
        *(thing, "ACTIVE", "True"),
        *("refused", "gone"),
    ]
    assert (shell.home / "claim.key").read_text().startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert "(DeleteConflictException) when calling the DeleteProvisioningTemplateVersion operation" in finished.stderr
    assert "(DeleteConflictException) when calling the DeletePolicy operation" in finished.stderr
    assert "(ResourceNotFoundException) when calling the CreateProvisioningClaim operation" in finished.stderr
