"""Policies of thing groups on a running service: they count for clients that connect as a thing, and for no others."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import (
    EVERYTHING,
    GENEROUS,
    MQTT_3,
    MQTT_5,
    Credentials,
    Device,
    device,
    device_policy,
    new_credentials,
    unique,
)

VERSIONS = pytest.mark.parametrize("version", [MQTT_3, MQTT_5], ids=["3.1.1", "5"])
ARN = "arn:aws:iot:us-east-1:000000000000:"
NOT_AUTHORIZED = "Not authorized"


@dataclass(frozen=True)
class House:
    """A certificate without a policy of its own, and things whose groups have policies."""

    live: Live
    iot: IoT
    folder: Path
    credentials: Credentials

    def thing(self, policy: str | None = None, *, kind: str | None = None, attached: bool = True) -> str:
        """Return a new thing, in a group with the policy, that the certificate is attached to."""
        thing, group = unique("home-thing"), unique("home-group")
        self.iot.create_thing(thingName=thing)
        self.iot.create_thing_group(thingGroupName=group)
        self.iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
        if policy is not None:
            self.iot.create_policy(policyName=group, policyDocument=policy)
            self.iot.attach_policy(policyName=group, target=f"{ARN}thinggroup/{group}")
        if attached:
            more = {} if kind is None else {"thingPrincipalType": kind}
            self.iot.attach_thing_principal(thingName=thing, principal=self.credentials.arn, **more)
        return thing

    def is_admitted(self, client_id: str, version: MQTTProtocolVersion) -> bool:
        """Return whether a CONNECT is accepted; TestAuthorization must say the same."""
        tried = Device(self.live, self.credentials, self.folder, client_id, version)
        try:
            admitted = tried.is_connected()
        finally:
            tried.close()
        assert admitted is self.is_allowed(client_id, "CONNECT", f"client/{client_id}")
        return admitted

    def is_allowed(self, client_id: str, action: str, resource: str) -> bool:
        """Return what TestAuthorization says."""
        (result,) = self.iot.test_authorization(
            principal=self.credentials.arn,
            clientId=client_id,
            authInfos=[{"actionType": action, "resources": [ARN + resource]}],
        )["authResults"]
        return bool(result["authDecision"] == "ALLOWED")

    def connected(self, client_id: str, version: MQTTProtocolVersion = MQTT_5) -> Any:
        return device(self.live, self.credentials, self.folder, client_id, version)

    def effective(self, thing: str) -> int:
        """Return how many policies GetEffectivePolicies lists."""
        found = self.iot.get_effective_policies(principal=self.credentials.arn, thingName=thing)
        return len(found["effectivePolicies"])


@pytest.fixture
def house(live: Live, iot: IoT, tmp_path: Path) -> House:
    return House(live, iot, tmp_path, new_credentials(iot, None))


@VERSIONS
def test_a_groups_policy_lets_in_the_client_that_has_the_things_name_alone(
    house: House, version: MQTTProtocolVersion
) -> None:
    lamp, other = house.thing(EVERYTHING), house.thing(EVERYTHING, attached=False)

    assert house.is_admitted(lamp, version)
    for client_id in (unique("not-the-thing"), other, lamp.upper()):
        assert not house.is_admitted(client_id, version)
    assert (house.effective(lamp), house.effective(other)) == (1, 0)


@VERSIONS
def test_an_exclusive_things_groups_count_under_any_client_id(house: House, version: MQTTProtocolVersion) -> None:
    house.thing(EVERYTHING, kind="EXCLUSIVE_THING")
    other = house.thing(None, attached=False)

    assert house.is_admitted(unique("any"), version)
    assert house.is_admitted(other, version)


def test_of_two_things_the_groups_of_one_count(house: House) -> None:
    first, second = [
        house.thing(device_policy(("iot:Connect", "client/*"), ("iot:Publish", f"topic/{letter}/*"))) for letter in "ab"
    ]
    for client_id, letter, other in ((first, "a", "b"), (second, "b", "a")):
        with house.connected(client_id) as connected:
            assert connected.publish(f"{letter}/x", b"") in ("Success", "No matching subscribers")
            assert connected.publish(f"{other}/x", b"") == NOT_AUTHORIZED
        assert house.is_allowed(client_id, "PUBLISH", f"topic/{letter}/x")
        assert not house.is_allowed(client_id, "PUBLISH", f"topic/{other}/x")


def detach_thing(house: House, thing: str) -> None:
    house.iot.detach_thing_principal(thingName=thing, principal=house.credentials.arn)


def delete_thing(house: House, thing: str) -> None:
    detach_thing(house, thing)
    house.iot.delete_thing(thingName=thing)


def leave_group(house: House, thing: str) -> None:
    (group,) = house.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]
    house.iot.remove_thing_from_thing_group(thingGroupName=group["groupName"], thingName=thing)


@pytest.mark.parametrize("change", [detach_thing, delete_thing, leave_group])
def test_a_client_that_is_its_thing_no_longer_is_disconnected(
    house: House, change: Callable[[House, str], None]
) -> None:
    lamp, pump = house.thing(EVERYTHING), house.thing(EVERYTHING)
    with house.connected(lamp) as connected, house.connected(pump) as other:
        change(house, lamp)
        assert connected.disconnected.get(timeout=GENEROUS) is not None
        assert other.publish("any/topic", b"") in ("Success", "No matching subscribers")


def test_a_client_gains_what_its_things_groups_allow_when_the_thing_is_attached(house: House, iot: IoT) -> None:
    name = unique("own")
    iot.create_policy(policyName=name, policyDocument=device_policy(("iot:Connect", "*")))
    iot.attach_policy(policyName=name, target=house.credentials.arn)
    lamp = house.thing(EVERYTHING, attached=False)
    with house.connected(lamp) as connected:
        assert connected.publish("any/topic", b"") == NOT_AUTHORIZED
        iot.attach_thing_principal(thingName=lamp, principal=house.credentials.arn)
        connected.wait_until_published("any/topic")


@VERSIONS
def test_a_denial_of_a_group_counts_under_any_client_id(house: House, iot: IoT, version: MQTTProtocolVersion) -> None:
    name, denial = unique("own"), {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}
    iot.create_policy(policyName=name, policyDocument=EVERYTHING)
    iot.attach_policy(policyName=name, target=house.credentials.arn)
    lamp = house.thing(json.dumps({"Version": "2012-10-17", "Statement": [denial]}))

    assert not house.is_admitted(lamp, version)
    assert not house.is_admitted(unique("other"), version)


def statements(*effects: tuple[str, str, str]) -> str:
    """Return a policy of these effects, actions and resources; everything may connect."""
    every = [("Allow", "iot:Connect", "*"), *effects]
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": effect, "Action": action, "Resource": name if name == "*" else ARN + name}
                for effect, action, name in every
            ],
        }
    )


@VERSIONS
@pytest.mark.parametrize(
    ("policy", "is_granted"),
    [
        (statements(("Allow", "iot:Subscribe", "topicfilter/$share/*/t")), True),
        (statements(("Allow", "iot:Subscribe", "topicfilter/t")), True),
        (statements(("Allow", "iot:Subscribe", "topicfilter/$share/other/t")), False),
        (statements(("Allow", "iot:*", "*"), ("Deny", "iot:Subscribe", "topicfilter/$share/*")), False),
        (statements(("Allow", "iot:*", "*"), ("Deny", "iot:Subscribe", "topicfilter/t")), False),
    ],
)
def test_a_shared_subscription_is_decided_by_both_forms_of_its_filter(
    live: Live, iot: IoT, tmp_path: Path, policy: str, is_granted: bool, version: MQTTProtocolVersion
) -> None:
    house = House(live, iot, tmp_path, new_credentials(iot, policy))
    client_id = unique("member")
    with house.connected(client_id, version) as connected:
        if version is MQTT_3 and not is_granted:
            # MQTT 3.1.1 cannot say that it is not allowed.
            connected.client.subscribe("$share/g/t", qos=1)
            assert connected.disconnected.get(timeout=GENEROUS) is not None
        else:
            assert connected.subscribe("$share/g/t") is is_granted
    assert house.is_allowed(client_id, "SUBSCRIBE", "topicfilter/$share/g/t") is is_granted
