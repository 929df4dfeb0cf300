"""A service for one test run: accounts, clock, reset, seed, its end; judged by AWS's SDK, paho-mqtt and the system."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from thingmint.rest.signed_client import ServiceRefused
from thingmint.testing import DeviceRefused, Disconnected, NotStarted, RegistrationRefused, Service, service

READER = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:List*", "Resource": "*"}]}
SUBSCRIBER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["iot:Connect", "iot:Subscribe"], "Resource": "*"}],
}
TEMPLATE = {
    "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}, "Serial": {"Type": "String"}},
    "Resources": {
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
        },
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}},
    },
}


def until(is_so: Callable[[], bool]) -> None:
    """Return when it is so; fail after a minute."""
    tick = threading.Event()
    for _ in range(3000):
        if is_so():
            return
        tick.wait(0.02)
    raise AssertionError("it never was so")


def test_accounts_share_nothing(own_service: Service) -> None:
    with own_service.create_account() as first, own_service.create_account() as second:
        first.client("iot").create_thing(thingName="pump")
        assert second.client("iot").list_things()["things"] == []
        assert first.account_id != second.account_id
        identity = first.client("sts").get_caller_identity()
        assert identity["Account"] == first.account_id
        assert identity["Arn"] == f"arn:aws:iam::{first.account_id}:user/administrator"
        assert first.secret_access_key not in repr(first)


def test_an_account_gets_the_number_that_is_asked_for_once(own_service: Service) -> None:
    with own_service.create_account("123412341234") as account:
        assert account.client("sts").get_caller_identity()["Account"] == "123412341234"
        with pytest.raises(ServiceRefused, match="exists already"):
            own_service.create_account("123412341234")


def test_a_deleted_account_loses_its_devices_and_its_keys(own_service: Service) -> None:
    with own_service.create_account() as account:
        device = account.device()
        account.client("iot-data").publish(topic="kept", payload=b"x", retain=True, qos=1)
        own_service.delete_account(account.account_id)
        device.wait_until_disconnected()
        with pytest.raises(ClientError, match="UnrecognizedClient"):
            account.client("iot").list_things()
        with pytest.raises(DeviceRefused):
            device.connect()


def test_a_twelve_digit_access_key_is_the_account_whatever_the_secret(own_service: Service) -> None:
    with own_service.create_account() as account:
        account.client("iot").create_thing(thingName="pump")
        account.access_key_id, account.secret_access_key = account.account_id, "test"
        account.client().close()
        account._clients.clear()
        assert [each["thingName"] for each in account.client("iot").list_things()["things"]] == ["pump"]
        url = account.client("iot-data").generate_presigned_url("publish", {"topic": "a"})
        assert account.account_id in url
        finished = subprocess.run(
            ["curl", "-sS", "--cacert", account.place.ca_file, "-X", "POST", url],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(finished.stdout)["__type"] == "UnrecognizedClientException"


def test_another_caller_may_do_what_its_policy_says(own_service: Service) -> None:
    with own_service.create_account() as account:
        reader = account.caller(READER)
        assert reader.client("iot").list_things()["things"] == []
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.client("iot").create_thing(thingName="pump")
        assert reader.client("sts").get_caller_identity()["Account"] == account.account_id


def test_the_variables_are_enough_for_the_aws_cli(own_service: Service, tmp_path: Path) -> None:
    with own_service.create_account() as account:
        aws = [sys.executable, "-m", "awscli"]
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = own | account.environment | {"HOME": str(tmp_path)}
        for command in (["sts", "get-caller-identity"], ["iot", "list-things"], ["iot-data", "list-retained-messages"]):
            finished = subprocess.run([*aws, *command], env=environment, capture_output=True, text=True, check=False)
            assert finished.returncode == 0, finished.stderr
        with account.in_environment():
            assert os.environ["AWS_ENDPOINT_URL"] == account.place.api
            assert "AWS_PROFILE" not in os.environ
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_a_device_that_may_not_publish_learns_so(own_service: Service) -> None:
    with own_service.create_account() as account:
        device = account.device(policy=SUBSCRIBER)
        device.subscribe("a")
        with pytest.raises(DeviceRefused, match="Not authorized"):
            device.publish("a", "text")
        device.close()
        with pytest.raises(Disconnected, match="call connect"):
            device.subscribe("a")


def test_a_message_that_does_not_come_is_waited_for_no_longer_than_asked(own_service: Service) -> None:
    with own_service.create_account() as account:
        device = account.device()
        with pytest.raises(TimeoutError, match="no message"):
            device.receive(timeout=0.01)
        with pytest.raises(TimeoutError, match="still connected"):
            device.wait_until_disconnected(timeout=0.01)


@pytest.mark.parametrize("kind", ["inactive", "revoked", "expired", "foreign"])
def test_devices_that_must_not_connect_do_not(own_service: Service, kind: str) -> None:
    with own_service.create_account() as account:
        device = account.device("pump", certificate=kind)  # type: ignore[arg-type]  # one of the kinds
        assert not device.is_connected
        with pytest.raises(DeviceRefused):
            device.connect()
        found = account.client("iot").list_certificates()["certificates"]
        statuses = {"inactive": ["INACTIVE"], "revoked": ["REVOKED"], "expired": ["ACTIVE"], "foreign": []}
        assert [each["status"] for each in found] == statuses[kind]
        if kind == "expired":
            described = account.client("iot").describe_certificate(certificateId=device.certificate_id)
            assert described["certificateDescription"]["validity"]["notAfter"] < datetime.now(UTC)
    assert own_service.clock.is_right


def test_a_refused_registration_says_why(own_service: Service) -> None:
    with own_service.create_account() as account:
        claim = account.claim(TEMPLATE)
        with pytest.raises(RegistrationRefused) as refused:
            claim.register({})
        assert refused.value.status == 400
        registered = account.claim(claim.template_name).register({"Serial": "7"}, connected=False)
        assert (registered.thing_name, registered.is_connected) == ("7", False)


def test_the_clock_passes_the_end_of_a_claim(own_service: Service) -> None:
    with own_service.create_account() as account:
        claim = account.claim(TEMPLATE)
        own_service.clock.advance(minutes=6)
        with pytest.raises(DeviceRefused):
            claim.register({"Serial": "7"})
        # Signatures go by the machine's clock.
        assert account.client("iot").list_things()["things"] == []


def test_a_connected_device_is_cut_off_when_its_certificate_ends(own_service: Service) -> None:
    with own_service.create_account() as account:
        device = account.device()
        described = account.client("iot").describe_certificate(certificateId=device.certificate_id)
        end = described["certificateDescription"]["validity"]["notAfter"]
        own_service.clock.advance(seconds=(end - datetime.now(UTC)).total_seconds() + 1)
        device.wait_until_disconnected()
        with pytest.raises(DeviceRefused):
            device.connect()
        with pytest.raises(ServiceRefused, match="at most"):
            own_service.clock.advance(days=366 * 30)


def test_a_reset_leaves_an_empty_service(own_service: Service) -> None:
    account = own_service.create_account()
    device = account.device()
    own_service.administrator.client("iot").create_thing(thingName="pump")
    own_service.clock.advance(hours=1)
    own_service.reset()
    device.wait_until_disconnected()
    assert own_service.clock.is_right
    with own_service.administrator as administrator:
        assert administrator.client("iot").list_things()["things"] == []
    account.close()


def test_an_account_that_was_not_created_is_used_before_and_after_a_reset(own_service: Service) -> None:
    variables = own_service.variables
    options = {"verify": variables["AWS_CA_BUNDLE"], "region_name": variables["AWS_REGION"]}
    keys = {"aws_access_key_id": "333333333333", "aws_secret_access_key": "any"}
    iot = boto3.client("iot", endpoint_url=variables["AWS_ENDPOINT_URL_IOT"], **options, **keys)
    data = boto3.client("iot-data", endpoint_url=variables["AWS_ENDPOINT_URL_IOT_DATA_PLANE"], **options, **keys)
    for _ in range(2):
        data.publish(topic="pump/1", payload=b"on", retain=True)
        assert iot.create_keys_and_certificate()["certificateArn"].split(":")[4] == "333333333333"
        own_service.reset()
    data.publish(topic="pump/2", payload=b"on", retain=True)
    # A node looks every second whether the accounts in its memory were deleted.
    time.sleep(2.5)
    assert [each["topic"] for each in data.list_retained_messages()["retainedTopics"]] == ["pump/2"]


def test_a_seed_is_carried_out(own_service: Service, tmp_path: Path) -> None:
    seed = {"operations": [{"operation": "CreateThing", "input": {"thingName": "pump"}, "account": "222222222222"}]}
    (tmp_path / "seed.json").write_text(json.dumps(seed))
    (output,) = own_service.seed(tmp_path / "seed.json")
    assert output["thingName"] == "pump"
    with pytest.raises(ServiceRefused, match="Step 1"):
        own_service.seed({"operations": [{"operation": "CreateThing"}]})


def test_a_service_that_cannot_start_says_why() -> None:
    with pytest.raises(NotStarted, match="loopback"), service("--api", "0.0.0.0:0"):
        raise AssertionError("it started")


def test_what_a_service_leaves_behind_is_nothing() -> None:
    with service() as running:
        data_dir = Path(running.variables["THINGMINT_DATA_DIR"])
        assert data_dir.is_dir()
        assert '"ready"' in running.log
        directory = running.directory
    assert running.process.returncode == 0
    assert not data_dir.parent.exists()
    assert not directory.exists()


def test_a_service_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys, thingmint.testing as t\n"
        "with t.service() as s:\n"
        "    print(s.process.pid, s.variables['THINGMINT_DATA_DIR'], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as starter:
        assert starter.stdout is not None
        _, data_dir = starter.stdout.readline().split()
        assert Path(data_dir).is_dir()
        starter.send_signal(signal.SIGKILL)
    until(lambda: not Path(data_dir).parent.exists())
