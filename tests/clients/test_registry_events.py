"""Events of the registry on a running service: switched on by an operator, heard by a device that its policy lets."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import (
    Device,
    device,
    device_policy,
    new_credentials,
    new_fleet,
    unique,
)
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, write_input
from tests.support.registration.provisioning import ROLE_ARN

REGISTRY = ("THING", "THING_TYPE", "THING_TYPE_ASSOCIATION", "THING_GROUP", "THING_GROUP_MEMBERSHIP")
EVERY_TYPE = (*REGISTRY, "THING_GROUP_HIERARCHY")
EVENTS = "$aws/events/thing"
# Other tests' things and their devices' connections are not what is listened for.
FILTERS = tuple(
    EVENTS + rest for rest in ("/#", "Type/#", "TypeAssociation/#", "Group/#", "GroupMembership/#", "GroupHierarchy/#")
)
LISTENER = (("iot:Connect", "client/*"), ("iot:Subscribe", "topicfilter/$aws/events/*"))


@pytest.fixture(autouse=True)
def _off(iot: IoT) -> Iterator[None]:
    """Other tests of the session find the service as it was."""
    yield
    switch(iot, *EVERY_TYPE, on=False)


def switch(iot: IoT, *types: str, on: bool = True) -> None:
    iot.update_event_configurations(eventConfigurations={each: {"Enabled": on} for each in types})


@contextlib.contextmanager
def listener(live: Live, iot: IoT, folder: Path, topic: str = "$aws/events/*") -> Iterator[Device]:
    """Yield a device that subscribes to the registry's events and may receive those on the topic."""
    credentials = new_credentials(iot, device_policy(*LISTENER, ("iot:Receive", f"topic/{topic}")))
    with device(live, credentials, folder, unique("listener")) as opened:
        for each in FILTERS:
            assert opened.subscribe(each)
        yield opened


def heard(opened: Device, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return topic, below that of events, and payload of the next messages."""
    for _ in range(count):
        message = opened.hear()
        yield message.topic.removeprefix("$aws/events/"), json.loads(message.payload)


def topics(opened: Device, count: int) -> list[str]:
    return [topic for topic, _ in heard(opened, count)]


def test_a_device_hears_what_happens_to_things_types_and_groups(live: Live, iot: IoT, tmp_path: Path) -> None:
    lamp, bulb, house, attic = (unique(name) for name in ("lamp", "bulb", "house", "attic"))
    switch(iot, *EVERY_TYPE)
    with listener(live, iot, tmp_path) as opened:
        bulb_id = iot.create_thing_type(thingTypeName=bulb)["thingTypeId"]
        house_id = iot.create_thing_group(thingGroupName=house)["thingGroupId"]
        attic_made = iot.create_thing_group(thingGroupName=attic, parentGroupName=house)
        made = iot.create_thing(thingName=lamp, thingTypeName=bulb, attributePayload={"attributes": {"colour": "red"}})
        iot.add_thing_to_thing_group(thingGroupName=attic, thingName=lamp)
        iot.update_thing(thingName=lamp, removeThingType=True)
        iot.remove_thing_from_thing_group(thingGroupName=attic, thingName=lamp)
        iot.update_thing_group(thingGroupName=attic, thingGroupProperties={"thingGroupDescription": "warm"})
        iot.delete_thing(thingName=lamp)
        iot.delete_thing_group(thingGroupName=attic)
        iot.deprecate_thing_type(thingTypeName=bulb)
        association = f"thingTypeAssociation/thing/{lamp}/thingType/{bulb}"
        membership = f"thingGroupMembership/thingGroup/{attic}/thing/{lamp}"
        hierarchy = f"thingGroupHierarchy/thingGroup/{house}/childThingGroup/{attic}"
        expected = [
            f"thingType/{bulb}/created",
            f"thingGroup/{house}/created",
            f"thingGroup/{attic}/created",
            f"{hierarchy}/added",
            f"thing/{lamp}/created",
            f"{association}/added",
            f"{membership}/added",
            f"thing/{lamp}/updated",
            f"{association}/removed",
            f"{membership}/removed",
            f"thingGroup/{attic}/updated",
            f"thing/{lamp}/deleted",
            f"thingGroup/{attic}/deleted",
            f"{hierarchy}/removed",
            f"thingType/{bulb}/updated",
        ]
        events = list(heard(opened, len(expected)))
        assert [topic for topic, _ in events] == expected
        assert opened.heard.empty()
    told = dict(events)
    ids = {each["eventId"] for each in told.values()}
    assert len(ids) == len(expected)
    times = [each["timestamp"] for each in told.values()]
    assert all(earlier <= later for earlier, later in itertools.pairwise(times))
    created = told[f"thing/{lamp}/created"]
    assert created | {"eventId": "", "timestamp": 0} == {
        "eventType": "THING_EVENT",
        "eventId": "",
        "timestamp": 0,
        "operation": "CREATED",
        "accountId": "000000000000",
        "thingId": made["thingId"],
        "thingName": lamp,
        "versionNumber": 1,
        "thingTypeName": bulb,
        "billinGroupName": None,
        "attributes": {"colour": "red"},
    }
    assert told[f"thing/{lamp}/deleted"]["versionNumber"] == 2
    assert told[f"thingType/{bulb}/updated"]["thingTypeId"] == bulb_id
    assert told[f"thingType/{bulb}/updated"]["isDeprecated"] is True
    assert told[f"thingGroup/{attic}/updated"]["rootToParentThingGroups"] == [
        {"groupArn": iot.describe_thing_group(thingGroupName=house)["thingGroupArn"], "groupId": house_id}
    ]
    assert told[f"{membership}/added"]["membershipId"] == told[f"{membership}/removed"]["membershipId"]
    assert told[f"{membership}/added"]["groupArn"] == attic_made["thingGroupArn"]
    assert told[f"{hierarchy}/added"]["childGroupId"] == attic_made["thingGroupId"]
    iot.delete_thing_group(thingGroupName=house)


def test_only_what_is_on_is_heard(live: Live, iot: IoT, tmp_path: Path) -> None:
    first, second, third, group = (unique(name) for name in ("first", "second", "third", "group"))
    with listener(live, iot, tmp_path) as opened:
        iot.create_thing(thingName=first)
        switch(iot, "THING_GROUP_MEMBERSHIP")
        iot.create_thing_group(thingGroupName=group)
        iot.create_thing(thingName=second)
        iot.add_thing_to_thing_group(thingGroupName=group, thingName=second)
        assert topics(opened, 1) == [f"thingGroupMembership/thingGroup/{group}/thing/{second}/added"]
        switch(iot, "THING_GROUP_MEMBERSHIP", on=False)
        iot.add_thing_to_thing_group(thingGroupName=group, thingName=first)
        iot.delete_thing(thingName=second)
        switch(iot, "THING")
        iot.create_thing(thingName=third)
        assert topics(opened, 1) == [f"thing/{third}/created"]


def test_a_device_hears_no_more_than_its_policy_allows(live: Live, iot: IoT, tmp_path: Path) -> None:
    lamp = unique("lamp")
    switch(iot, "THING")
    with listener(live, iot, tmp_path, f"{EVENTS}/{lamp}/deleted") as opened:
        iot.create_thing(thingName=lamp)
        iot.update_thing(thingName=lamp, attributePayload={"attributes": {"colour": "red"}})
        iot.delete_thing(thingName=lamp)
        assert topics(opened, 1) == [f"thing/{lamp}/deleted"]


def test_what_a_refused_request_would_have_changed_is_not_heard(live: Live, iot: IoT, tmp_path: Path) -> None:
    lamp, later = unique("lamp"), unique("later")
    iot.create_thing(thingName=lamp)
    switch(iot, *EVERY_TYPE)
    with listener(live, iot, tmp_path) as opened:
        with pytest.raises(iot.exceptions.ResourceNotFoundException):
            iot.update_thing_groups_for_thing(thingName=lamp, thingGroupsToAdd=[unique("unknown")])
        with pytest.raises(iot.exceptions.VersionConflictException):
            iot.delete_thing(thingName=lamp, expectedVersion=7)
        iot.create_thing(thingName=lamp)
        iot.create_thing(thingName=later)
        assert topics(opened, 1) == [f"thing/{later}/created"]


def test_devices_that_are_provisioned_are_heard_of_however_they_come(live: Live, iot: IoT, tmp_path: Path) -> None:
    fleet, by_claim, by_file, by_api = (new_fleet(iot), *(unique(name) for name in ("claim", "file", "api")))
    switch(iot, "THING")
    with listener(live, iot, tmp_path) as opened:
        with device(live, fleet.claim, tmp_path, unique("claim")) as claim:
            given = claim.request("$aws/certificates/create/json", {})
            token = given["certificateOwnershipToken"]
            request = {"certificateOwnershipToken": token, "parameters": {"Serial": by_claim}}
            claim.request(f"$aws/provisioning-templates/{fleet.template}/provision/json", request)
        assert topics(opened, 1) == [f"thing/device-{by_claim}/created"]
        write_input(live.registration_dir, [{"Name": by_file}], live.account)
        iot.start_thing_registration_task(
            templateBody=TEMPLATE, inputFileBucket=BUCKET, inputFileKey=KEY, roleArn=ROLE_ARN
        )
        assert topics(opened, 1) == [f"thing/{by_file}/created"]
        again = TEMPLATE.replace("FAIL", "REPLACE")
        for _ in range(2):
            iot.register_thing(templateBody=again, parameters={"Name": by_api})
        iot.delete_thing(thingName=by_api)
        assert topics(opened, 2) == [f"thing/{by_api}/created", f"thing/{by_api}/deleted"]
