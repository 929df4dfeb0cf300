"""Thing groups and billing groups, as AWS's SDK for Python calls them on a live service."""

import uuid

from tests.support.clients.aws import ClientOf, IoT, Live, allow, policy, refused

OURS = "arn:aws:iot:us-east-1:000000000000"
NOT_FOUND, INVALID = ("ResourceNotFoundException", 404), ("InvalidRequestException", 400)
EXISTS, CONFLICT = ("ResourceAlreadyExistsException", 409), ("VersionConflictException", 409)
DENIED = ("AccessDeniedException", 403)


def fresh(kind: str) -> str:
    """Return a name that nothing else in the session's registry has."""
    return f"{kind}-{uuid.uuid4()}"


def hierarchy(iot: IoT, *kinds: str) -> list[str]:
    """Create a chain of groups and return their names from the root on."""
    names: list[str] = []
    for kind in kinds:
        above = {"parentGroupName": names[-1]} if names else {}
        names.append(fresh(kind))
        iot.create_thing_group(thingGroupName=names[-1], **above)
    return names


def names_of(groups: list[dict[str, str]]) -> list[str]:
    return [group["groupName"] for group in groups]


def test_a_group_lives_its_life(iot: IoT) -> None:
    house, attic = hierarchy(iot, "house", "attic")
    name = fresh("lamps")
    properties = {"thingGroupDescription": "all", "attributePayload": {"attributes": {"floor": "3"}}}
    created = iot.create_thing_group(thingGroupName=name, parentGroupName=attic, thingGroupProperties=properties)
    again = iot.create_thing_group(thingGroupName=name, parentGroupName=attic, thingGroupProperties=properties)
    assert again["thingGroupId"] == created["thingGroupId"]

    described = iot.describe_thing_group(thingGroupName=name)
    assert described["thingGroupArn"] == created["thingGroupArn"] == f"{OURS}:thinggroup/{name}"
    assert (described["version"], described["thingGroupProperties"]) == (1, properties)
    metadata = described["thingGroupMetadata"]
    assert metadata["parentGroupName"] == attic
    assert names_of(metadata["rootToParentThingGroups"]) == [house, attic]

    merged = {"attributePayload": {"attributes": {"wing": "east"}, "merge": True}}
    assert iot.update_thing_group(thingGroupName=name, thingGroupProperties=merged, expectedVersion=1)["version"] == 2
    after = iot.describe_thing_group(thingGroupName=name)["thingGroupProperties"]
    assert after["attributePayload"]["attributes"] == {"floor": "3", "wing": "east"}

    assert refused(iot.delete_thing_group, thingGroupName=attic) == INVALID
    iot.delete_thing_group(thingGroupName=name, expectedVersion=2)
    assert refused(iot.describe_thing_group, thingGroupName=name) == NOT_FOUND
    iot.delete_thing_group(thingGroupName=name)


def test_groups_are_listed_from_where_they_are_looked_for(iot: IoT) -> None:
    house, attic, box = hierarchy(iot, "house", "attic", "box")

    def listed(**wanted: object) -> list[str]:
        pages = iot.get_paginator("list_thing_groups").paginate(PaginationConfig={"PageSize": 1}, **wanted)
        return [name for page in pages for name in names_of(page["thingGroups"])]

    assert listed(parentGroup=house) == [attic]
    assert listed(parentGroup=house, recursive=True) == [attic, box]
    assert listed(namePrefixFilter=box[:20]) == [box]
    assert listed(namePrefixFilter=box[:20], recursive=False) == []
    assert {house, attic, box} <= set(listed())


def test_things_join_and_leave(iot: IoT) -> None:
    house, attic = hierarchy(iot, "house", "attic")
    (garden,) = hierarchy(iot, "garden")
    names = [fresh("lamp") for _ in range(3)]
    for name, group in zip(names, (attic, house, attic), strict=True):
        created = iot.create_thing(thingName=name)
        iot.add_thing_to_thing_group(thingGroupArn=f"{OURS}:thinggroup/{group}", thingArn=created["thingArn"])

    pages = iot.get_paginator("list_things_in_thing_group").paginate(
        thingGroupName=house, recursive=True, PaginationConfig={"PageSize": 2}
    )
    assert [page["things"] for page in pages] == [[names[1], names[0]], [names[2]]]
    assert iot.list_things_in_thing_group(thingGroupName=house)["things"] == [names[1]]
    assert refused(iot.add_thing_to_thing_group, thingGroupName=house, thingName=names[0]) == INVALID

    iot.update_thing_groups_for_thing(thingName=names[0], thingGroupsToAdd=[house, garden], thingGroupsToRemove=[attic])
    assert names_of(iot.list_thing_groups_for_thing(thingName=names[0])["thingGroups"]) == [house, garden]
    iot.remove_thing_from_thing_group(thingGroupName=garden, thingName=names[0])
    iot.remove_thing_from_thing_group(thingGroupName=garden, thingName=names[0])
    assert names_of(iot.list_thing_groups_for_thing(thingName=names[0])["thingGroups"]) == [house]
    iot.delete_thing(thingName=names[0])
    iot.delete_thing_group(thingGroupName=attic)
    assert iot.list_thing_groups_for_thing(thingName=names[2])["thingGroups"] == []


def test_the_modelled_errors_of_groups(iot: IoT) -> None:
    (name,), missing, thing = hierarchy(iot, "lamps"), fresh("none"), fresh("lamp")
    iot.create_thing(thingName=thing)
    other = {"thingGroupDescription": "other"}

    assert refused(iot.create_thing_group, thingGroupName=name, thingGroupProperties=other) == EXISTS
    assert refused(iot.create_thing_group, thingGroupName="a b") == INVALID
    assert refused(iot.create_thing_group, thingGroupName=fresh("lamps"), parentGroupName=missing) == NOT_FOUND
    changed = {"thingGroupName": name, "thingGroupProperties": other, "expectedVersion": 9}
    assert refused(iot.update_thing_group, **changed) == CONFLICT
    assert refused(iot.update_thing_group, thingGroupName=missing, thingGroupProperties=other) == NOT_FOUND
    assert refused(iot.delete_thing_group, thingGroupName=name, expectedVersion=9) == CONFLICT
    assert refused(iot.list_thing_groups, parentGroup=missing) == NOT_FOUND
    assert refused(iot.list_things_in_thing_group, thingGroupName=missing) == NOT_FOUND
    assert refused(iot.list_thing_groups_for_thing, thingName=missing) == NOT_FOUND
    for call in (iot.add_thing_to_thing_group, iot.remove_thing_from_thing_group):
        assert refused(call, thingGroupName=missing, thingName=thing) == NOT_FOUND
        assert refused(call, thingGroupName=name, thingName=missing) == NOT_FOUND
        assert refused(call, thingGroupName=name) == INVALID
    assert refused(iot.update_thing_groups_for_thing, thingName=thing, thingGroupsToAdd=[missing]) == NOT_FOUND
    assert refused(iot.update_thing_groups_for_thing) == INVALID


def test_a_hierarchy_is_seven_levels_deep(iot: IoT) -> None:
    names = hierarchy(iot, *(f"level{number}" for number in range(7)))

    assert refused(iot.create_thing_group, thingGroupName=fresh("level8"), parentGroupName=names[-1]) == INVALID


def test_policies_decide_by_group_and_thing(live: Live, iot: IoT, client_of: ClientOf) -> None:
    (own,), (other,) = hierarchy(iot, "own"), hierarchy(iot, "other")
    thing = fresh("lamp")
    iot.create_thing(thingName=thing)
    action, thing_arn = "iot:AddThingToThingGroup", f"{OURS}:thing/{thing}"
    to_own = allow(action, resource=f"{OURS}:thinggroup/{own}")
    without_thing = client_of(live, live.create_access_key(policy(to_own)))
    with_thing = client_of(live, live.create_access_key(policy(to_own, allow(action, resource=thing_arn))))

    assert refused(without_thing.add_thing_to_thing_group, thingGroupName=own, thingName=thing) == DENIED
    assert refused(with_thing.add_thing_to_thing_group, thingGroupName=other, thingName=thing) == DENIED
    assert refused(with_thing.describe_thing_group, thingGroupName=own) == DENIED
    with_thing.add_thing_to_thing_group(thingGroupName=own, thingName=thing)
    assert iot.list_things_in_thing_group(thingGroupName=own)["things"] == [thing]


def test_a_billing_group_lives_its_life(iot: IoT) -> None:
    name, things = fresh("ward"), [fresh("lamp"), fresh("fan")]
    properties = {"billingGroupDescription": "pays"}
    created = iot.create_billing_group(billingGroupName=name, billingGroupProperties=properties)
    assert created["billingGroupArn"] == f"{OURS}:billinggroup/{name}"

    changed = {"billingGroupDescription": "pays not"}
    updated = iot.update_billing_group(billingGroupName=name, billingGroupProperties=changed, expectedVersion=1)
    described = iot.describe_billing_group(billingGroupName=name)
    assert (updated["version"], described["version"], described["billingGroupProperties"]) == (2, 2, changed)
    assert described["billingGroupId"] == created["billingGroupId"]

    iot.create_thing(thingName=things[0], billingGroupName=name)
    iot.create_thing(thingName=things[1])
    iot.add_thing_to_billing_group(billingGroupName=name, thingName=things[1])
    pages = iot.get_paginator("list_things_in_billing_group").paginate(
        billingGroupName=name, PaginationConfig={"PageSize": 1}
    )
    assert [page["things"] for page in pages] == [[things[0]], [things[1]]]
    assert iot.describe_thing(thingName=things[1])["billingGroupName"] == name
    assert refused(iot.delete_billing_group, billingGroupName=name) == INVALID
    iot.remove_thing_from_billing_group(billingGroupArn=created["billingGroupArn"], thingName=things[1])
    iot.delete_thing(thingName=things[0])
    iot.delete_billing_group(billingGroupName=name, expectedVersion=2)
    assert refused(iot.describe_billing_group, billingGroupName=name) == NOT_FOUND
    iot.delete_billing_group(billingGroupName=name)


def test_the_modelled_errors_of_billing_groups(iot: IoT) -> None:
    name, missing, thing = fresh("ward"), fresh("none"), fresh("lamp")
    iot.create_billing_group(billingGroupName=name)
    iot.create_thing(thingName=thing)
    other = {"billingGroupDescription": "other"}

    assert refused(iot.create_billing_group, billingGroupName=name, billingGroupProperties=other) == EXISTS
    changed = {"billingGroupName": name, "billingGroupProperties": other, "expectedVersion": 9}
    assert refused(iot.update_billing_group, **changed) == CONFLICT
    assert refused(iot.update_billing_group, billingGroupName=missing, billingGroupProperties=other) == NOT_FOUND
    assert refused(iot.delete_billing_group, billingGroupName=name, expectedVersion=9) == CONFLICT
    assert refused(iot.list_things_in_billing_group, billingGroupName=missing) == NOT_FOUND
    for call in (iot.add_thing_to_billing_group, iot.remove_thing_from_billing_group):
        assert refused(call, billingGroupName=missing, thingName=thing) == NOT_FOUND
        assert refused(call, billingGroupName=name, thingName=missing) == NOT_FOUND
        assert refused(call, thingName=thing) == INVALID


def test_billing_groups_are_listed_by_how_their_names_start(iot: IoT) -> None:
    batch = fresh("ward")
    names = [f"{batch}-{number}" for number in range(3)]
    for name in reversed(names):
        iot.create_billing_group(billingGroupName=name)

    pages = iot.get_paginator("list_billing_groups").paginate(namePrefixFilter=batch, PaginationConfig={"PageSize": 2})

    assert [names_of(page["billingGroups"]) for page in pages] == [names[:2], names[2:]]


def test_policies_decide_by_billing_group(live: Live, iot: IoT, client_of: ClientOf) -> None:
    own, other = fresh("own"), fresh("other")
    for name in (own, other):
        iot.create_billing_group(billingGroupName=name)
    only_own = allow("iot:DescribeBillingGroup", resource=f"{OURS}:billinggroup/{own}")
    client = client_of(live, live.create_access_key(policy(only_own)))

    assert client.describe_billing_group(billingGroupName=own)["billingGroupName"] == own
    assert refused(client.describe_billing_group, billingGroupName=other) == DENIED
    assert refused(client.list_billing_groups) == DENIED
