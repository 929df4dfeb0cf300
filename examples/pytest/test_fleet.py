"""Eight tests of a fleet that connects to AWS IoT; Thingmint's plug-in for pytest gives the fixtures."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from thingmint.testing import Account, DeviceRefused, Service

TEMPLATE: dict[str, Any] = {
    "Parameters": {"Serial": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
    "Resources": {
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
        },
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Fn::Join": ["", ["pump-", {"Ref": "Serial"}]]}},
        },
        "policy": {
            "Type": "AWS::IoT::Policy",
            "Properties": {
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}],
                }
            },
        },
    },
}

OWN_CLIENT_ID = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}",
        }
    ],
}

READER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["iot:Describe*", "iot:List*"], "Resource": "*"}],
}


def test_a_device_sends_what_another_receives(thingmint_account: Account) -> None:
    pump, monitor = thingmint_account.device("pump-1"), thingmint_account.device("monitor")
    monitor.subscribe("pumps/+/state")
    pump.publish("pumps/1/state", {"pressure": 3})
    assert monitor.receive().value == {"pressure": 3}


def test_a_device_registers_itself_by_claim(thingmint_account: Account) -> None:
    device = thingmint_account.claim(TEMPLATE).register({"Serial": "0042"})
    assert (device.thing_name, device.is_connected) == ("pump-0042", True)
    principals = thingmint_account.client("iot").list_thing_principals(thingName="pump-0042")["principals"]
    assert principals[0].endswith(str(device.certificate_id))


def test_the_same_serial_number_in_two_accounts(thingmint: Service, thingmint_account: Account) -> None:
    with thingmint.create_account() as other:
        first = thingmint_account.claim(TEMPLATE).register({"Serial": "0042"})
        second = other.claim(TEMPLATE).register({"Serial": "0042"})
        second.subscribe("#")
        first.publish("pumps/0042/state", "on")
        second.publish("pumps/0042/own", "off")
        assert second.receive().topic == "pumps/0042/own"


def test_a_device_with_another_client_id_is_refused(thingmint_account: Account) -> None:
    device = thingmint_account.device("pump-1", policy=OWN_CLIENT_ID)
    with pytest.raises(DeviceRefused):
        device.connect(client_id="pump-2")


def test_a_revoked_device_is_cut_off_and_stays_away(thingmint_account: Account) -> None:
    device = thingmint_account.device()
    thingmint_account.client("iot").update_certificate(certificateId=device.certificate_id, newStatus="REVOKED")
    device.wait_until_disconnected()
    with pytest.raises(DeviceRefused):
        device.connect()


def test_a_device_with_a_rotated_certificate(thingmint_account: Account) -> None:
    iot = thingmint_account.client("iot")
    old = thingmint_account.device("pump-1")
    new = thingmint_account.renewed(old)
    iot.update_certificate(certificateId=old.certificate_id, newStatus="INACTIVE")
    old.wait_until_disconnected()
    assert new.connect().is_connected


def test_a_caller_without_permission(thingmint_account: Account) -> None:
    reader = thingmint_account.caller(READER).client("iot")
    assert reader.list_things()["things"] == []
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.create_thing(thingName="pump-1")


def test_an_expired_device_is_refused(thingmint_account: Account) -> None:
    with pytest.raises(DeviceRefused):
        thingmint_account.device(certificate="expired").connect()
