"""What a client sent is what it reads again, octet by octet: clients such as Terraform compare texts."""

import json
import time
from collections.abc import Callable

import pytest
from tests.support.clients.aws import ClientOf, IoT, Live, allow, policy
from tests.support.devices.device_identities import Identity, new_identity
from tests.support.devices.live_devices import GENEROUS, ROLE, unique
from tests.support.registration.templates import template, template_of_pem

from thingmint.issuance.encoding.pem import certificate_pem

BAG = "Bag Attributes\n    localKeyID: 01 02 03\nsubject=CN = Größe\n\nissuer=CN = 設備\n\n"
OPENSSL = "Certificate:\n    Data:\n        Version: 3 (0x2)\n        Serial Number: 7\n"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as written here": lambda pem: pem,
    "trimmed": str.strip,
    "CRLF": lambda pem: pem.replace("\n", "\r\n"),
    "CR": lambda pem: pem.replace("\n", "\r"),
    "bag attributes": lambda pem: BAG + pem,
    "openssl -text": lambda pem: OPENSSL + pem,
    "blank lines": lambda pem: f"\n\n{pem}\n\n \t",
    "one line": lambda pem: pem.replace("\n", "", 1).replace("\n", ""),
    "indented": lambda pem: "".join(f"    {line}\n" for line in pem.splitlines()),
    "long preamble": lambda pem: "x" * 50_000 + "\n" + pem,
}
TEMPLATE = template_of_pem("INACTIVE")
STRANGER = "444444444444"


def described(iot: IoT, certificate_id: str) -> str:
    text: str = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["certificatePem"]
    return text


@pytest.fixture
def authority(iot: IoT) -> Identity:
    """A CA that is registered."""
    made = new_identity(unique("CA"), is_authority=True)
    iot.register_ca_certificate(caCertificate=certificate_pem(made.der), certificateMode="SNI_ONLY", setAsActive=True)
    return made


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_certificate_is_described_in_the_text_that_registered_it(
    live: Live, iot: IoT, client_of: ClientOf, authority: Identity, spelling: str
) -> None:
    texts = [SPELLINGS[spelling](certificate_pem(new_identity(issuer=authority).der)) for _ in range(2)]
    with_ca = iot.register_certificate(certificatePem=texts[0], status="INACTIVE")["certificateId"]
    without = iot.register_certificate_without_ca(certificatePem=texts[1], status="INACTIVE")["certificateId"]
    assert [described(iot, each) for each in (with_ca, without)] == texts
    # Changes of it, and of its account, leave the text alone.
    iot.update_certificate(certificateId=with_ca, newStatus="ACTIVE")
    assert described(iot, with_ca) == texts[0]
    other = client_of(live, live.create_access_key(policy(allow("*")), "--account", STRANGER))
    iot.transfer_certificate(certificateId=without, targetAwsAccount=STRANGER)
    assert described(other, without) == texts[1]
    other.accept_certificate_transfer(certificateId=without)
    assert described(other, without) == texts[1]


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name != "long preamble"])
def test_a_ca_certificate_is_described_in_the_text_that_registered_it(iot: IoT, spelling: str) -> None:
    text = SPELLINGS[spelling](certificate_pem(new_identity(unique("CA"), is_authority=True).der))
    ca_id = iot.register_ca_certificate(caCertificate=text, certificateMode="SNI_ONLY")["certificateId"]
    for change in ({}, {"newStatus": "ACTIVE"}, {"newAutoRegistrationStatus": "ENABLE"}):
        if change:
            iot.update_ca_certificate(certificateId=ca_id, **change)
        assert iot.describe_ca_certificate(certificateId=ca_id)["certificateDescription"]["certificatePem"] == text


@pytest.mark.parametrize("spelling", ["trimmed", "CRLF", "bag attributes"])
def test_a_template_registers_the_text_that_it_was_given(iot: IoT, authority: Identity, spelling: str) -> None:
    identity = new_identity(issuer=authority)
    text = SPELLINGS[spelling](certificate_pem(identity.der))
    registered = iot.register_thing(templateBody=TEMPLATE, parameters={"Pem": text})
    assert registered["certificatePem"] == text
    assert described(iot, identity.certificate_id) == text
    # The same certificate in another text is the one that is there.
    again = iot.register_thing(templateBody=TEMPLATE, parameters={"Pem": certificate_pem(identity.der)})
    assert again["certificatePem"] == text


def test_a_bulk_registration_registers_and_reports_the_text_that_it_was_given(
    live_on_sqlite: Live, client_of: ClientOf
) -> None:
    iot = client_of(live_on_sqlite)
    made = new_identity(unique("CA"), is_authority=True)
    iot.register_ca_certificate(caCertificate=certificate_pem(made.der), certificateMode="SNI_ONLY", setAsActive=True)
    identity, bucket = new_identity(issuer=made), unique("as-sent")
    text = SPELLINGS["bag attributes"](certificate_pem(identity.der).strip())
    folder = live_on_sqlite.registration_dir / live_on_sqlite.account / bucket
    folder.mkdir(parents=True)
    (folder / "devices.json").write_text(json.dumps({"Pem": text}) + "\n")
    task = iot.start_thing_registration_task(
        templateBody=TEMPLATE, inputFileBucket=bucket, inputFileKey="devices.json", roleArn=ROLE
    )["taskId"]
    deadline = time.monotonic() + GENEROUS
    while iot.describe_thing_registration_task(taskId=task)["status"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert iot.describe_thing_registration_task(taskId=task)["successCount"] == 1
    assert described(iot, identity.certificate_id) == text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda pem: "\ufeff" + pem, "byte order mark"),
        (lambda pem: pem.replace("\n", "\\n"), "a backslash and an n"),
        (lambda pem: "\0\n" + pem, "NUL"),
        (lambda pem: pem + " " * 65_536, ""),
    ],
    ids=["byte order mark", "backslash n", "NUL", "too long"],
)
def test_what_cannot_be_kept_is_refused_with_its_reason(
    iot: IoT, authority: Identity, change: Callable[[str], str], reason: str
) -> None:
    pem = change(certificate_pem(new_identity(issuer=authority).der))
    for call, name in (
        (iot.register_certificate, "certificatePem"),
        (iot.register_certificate_without_ca, "certificatePem"),
        (iot.register_ca_certificate, "caCertificate"),
    ):
        with pytest.raises(iot.exceptions.ClientError) as refused:
            call(**{name: pem}, **({"certificateMode": "SNI_ONLY"} if name == "caCertificate" else {}))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert reason in refused.value.response["Error"]["Message"]


def test_every_other_text_is_described_as_it_was_sent(iot: IoT) -> None:
    body = "\r\n " + json.dumps(json.loads(template()), indent=3) + "\t\n"
    document = (
        '\n{ "Version" : "2012-10-17",\r\n\t"Statement":[ {"Effect":"Allow", '
        '"Action":["iot:Connect"],"Resource":"*"} ]} '
    )
    name = unique("as-sent")
    iot.create_provisioning_template(
        templateName=name, templateBody=body, provisioningRoleArn=ROLE, description=" two  spaces "
    )
    answer = iot.describe_provisioning_template(templateName=name)
    assert (answer["templateBody"], answer["description"]) == (body, " two  spaces ")
    assert iot.describe_provisioning_template_version(templateName=name, versionId=1)["templateBody"] == body

    made = iot.create_policy(policyName=name, policyDocument=document)
    assert made["policyDocument"] == document
    assert iot.get_policy(policyName=name)["policyDocument"] == document
    iot.create_policy_version(policyName=name, policyDocument=document + "\n")
    assert iot.get_policy_version(policyName=name, policyVersionId="2")["policyDocument"] == document + "\n"

    ca = certificate_pem(new_identity(unique("CA"), is_authority=True).der)
    config = {"templateBody": body, "roleArn": ROLE}
    ca_id = iot.register_ca_certificate(caCertificate=ca, certificateMode="SNI_ONLY", registrationConfig=config)
    assert iot.describe_ca_certificate(certificateId=ca_id["certificateId"])["registrationConfig"] == config

    properties = {"thingTypeDescription": " a  b ", "searchableAttributes": ["site", "area"]}
    iot.create_thing_type(thingTypeName=name, thingTypeProperties=properties)
    kept = iot.describe_thing_type(thingTypeName=name)["thingTypeProperties"]
    assert kept["thingTypeDescription"] == " a  b "
    group = {"thingGroupDescription": " a  b ", "attributePayload": {"attributes": {"site": "A/b:c"}}}
    iot.create_thing_group(thingGroupName=name, thingGroupProperties=group)
    assert iot.describe_thing_group(thingGroupName=name)["thingGroupProperties"] == group
    iot.create_billing_group(billingGroupName=name, billingGroupProperties={"billingGroupDescription": " a  b "})
    described_group = iot.describe_billing_group(billingGroupName=name)
    assert described_group["billingGroupProperties"] == {"billingGroupDescription": " a  b "}
    iot.create_thing(thingName=name, attributePayload={"attributes": {"Site": "A/b:c"}})
    assert iot.describe_thing(thingName=name)["attributes"] == {"Site": "A/b:c"}
    iot.create_role_alias(roleAlias=name, roleArn=ROLE, credentialDurationSeconds=900)
    assert iot.describe_role_alias(roleAlias=name)["roleAliasDescription"]["roleArn"] == ROLE
