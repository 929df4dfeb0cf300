"""OverrideSettings FAIL as AWS's SDK and devices meet it: a second device never gets the first one's thing."""

import json
from pathlib import Path

import pytest
from tests.clients.test_boto3_bulk_registration import ended, report
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import ROLE, Device, device, new_credentials, unique
from tests.support.registration.bulk import BUCKET, KEY, write_input

PROPERTIES = ("AttributePayload", "ThingTypeName", "ThingGroups")
CREATE = "$aws/certificates/create/json"


def template(certificate_id: str | None, *settings: str) -> str:
    """Return a template that names a thing by its serial number, and a certificate by this parameter, if any."""
    resources: dict[str, object] = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Ref": "Serial"}},
            "OverrideSettings": dict.fromkeys(settings, "FAIL"),
        }
    }
    parameters = {"Serial": {"Type": "String"}}
    if certificate_id is not None:
        parameters[certificate_id] = {"Type": "String"}
        properties = {"CertificateId": {"Ref": certificate_id}}
        resources["certificate"] = {"Type": "AWS::IoT::Certificate", "Properties": properties}
    return json.dumps({"Parameters": parameters, "Resources": resources})


@pytest.mark.parametrize("settings", [*((each,) for each in PROPERTIES), PROPERTIES])
def test_an_operator_gets_a_conflict_for_the_second_certificate_and_an_answer_for_the_first(
    iot: IoT, settings: tuple[str, ...]
) -> None:
    first, second = (iot.create_keys_and_certificate() for _ in range(2))
    body, serial = template("Id", *settings), unique("fail")
    parameters = {"Serial": serial, "Id": first["certificateId"]}
    done = iot.register_thing(templateBody=body, parameters=parameters)
    again = iot.register_thing(templateBody=body, parameters=parameters)
    assert again["resourceArns"] == done["resourceArns"]

    with pytest.raises(iot.exceptions.ConflictingResourceUpdateException, match="exists already"):
        iot.register_thing(templateBody=body, parameters=parameters | {"Id": second["certificateId"]})

    assert iot.list_thing_principals(thingName=serial)["principals"] == [first["certificateArn"]]
    described = iot.describe_certificate(certificateId=second["certificateId"])["certificateDescription"]
    assert described["status"] == "INACTIVE"


def registered(claim: Device, name: str, token: str, serial: str) -> tuple[str, dict[str, object]]:
    """Ask to be registered, and return whether that was accepted with the answer."""
    request = {"certificateOwnershipToken": token, "parameters": {"Serial": serial}}
    topic, payload = claim.ask(f"$aws/provisioning-templates/{name}/provision/json", json.dumps(request).encode())
    return topic.rpartition("/")[2], json.loads(payload)


def test_a_device_gets_a_conflict_for_the_second_certificate_and_an_answer_for_the_first(
    live: Live, iot: IoT, tmp_path: Path
) -> None:
    name, serial = unique("fail"), unique("fail")
    body = template("AWS::IoT::Certificate::Id", *PROPERTIES)
    iot.create_provisioning_template(templateName=name, templateBody=body, provisioningRoleArn=ROLE, enabled=True)
    with device(live, new_credentials(iot), tmp_path, unique("claim")) as claim:
        first, second = (claim.request(CREATE, {}) for _ in range(2))
        done = registered(claim, name, first["certificateOwnershipToken"], serial)
        assert done[0] == "accepted"
        assert registered(claim, name, first["certificateOwnershipToken"], serial) == done
        outcome, answer = registered(claim, name, second["certificateOwnershipToken"], serial)
    assert (outcome, answer["statusCode"], answer["errorCode"]) == ("rejected", 409, "ResourceConflict")
    (principal,) = iot.list_thing_principals(thingName=serial)["principals"]
    assert principal.endswith(first["certificateId"])
    described = iot.describe_certificate(certificateId=second["certificateId"])["certificateDescription"]
    assert described["status"] == "PENDING_ACTIVATION"


def test_a_line_of_a_file_that_names_a_thing_which_exists_is_an_error_of_its_report(live: Live, iot: IoT) -> None:
    serial, other = unique("fail"), unique("fail")
    iot.create_thing(thingName=serial)
    write_input(live.registration_dir, [{"Serial": serial}, {"Serial": other}], live.account)
    body = template(None, "ThingGroups")
    given = {"templateBody": body, "inputFileBucket": BUCKET, "inputFileKey": KEY, "roleArn": ROLE}
    task = ended(iot, iot.start_thing_registration_task(**given)["taskId"])
    assert (task["successCount"], task["failureCount"]) == (1, 1)
    (error,) = report(iot, task["taskId"], "ERRORS")
    assert (error["lineNumber"], error["errorMessage"]) == (1, f"The thing {serial} exists already")
