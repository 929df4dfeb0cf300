"""Who connects by an access key: which keys are admitted, what their policies decide, and when they are read again."""

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.mqtt.edges.test_registered_devices import ADDRESS, OTHER, House
from tests.support.registration.authority import ACCOUNT, REGION
from tests.support.registration.fleet import OPERATOR

from thingmint.core.access_key import AccessKey
from thingmint.core.identifiers import Scope
from thingmint.core.policies.device_context import ConnectAttribute
from thingmint.core.principals import AccessKeyTarget
from thingmint.mqtt.edges.access_key_devices import AccessKeyDevice, access_key_target
from thingmint.mqtt.rights.ports import ConnectionFacts, DeviceAuthorizer, DeviceRefusal, DeviceRefused, HandshakeSigner
from thingmint.registration.access.access_keys import AccessKeyRequest, create_access_key, delete_access_key

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@pytest.fixture
def house() -> House:
    return House()


async def new_key(house: House, *statements: Mapping[str, Any], lifetime: timedelta | None = None) -> AccessKey:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements) or [EVERYTHING]})
    request = AccessKeyRequest("ada", document, lifetime)
    authority = house.authority
    made = await create_access_key(authority.store, authority.sealer, house.clock, os.urandom, OPERATOR, request)
    return made.access_key


async def deleted(house: House, key: AccessKey) -> None:
    await delete_access_key(house.authority.store, house.clock, OPERATOR, key.access_key_id)


async def identified(house: House, target: AccessKeyTarget) -> AccessKeyDevice:
    return await house.devices.identify_signer(HandshakeSigner(target, "mqtt.example", {}), ADDRESS)


async def refusal(house: House, target: AccessKeyTarget) -> DeviceRefusal:
    with pytest.raises(DeviceRefused) as refused:
        await identified(house, target)
    return refused.value.reason


def target_of(key: AccessKey) -> AccessKeyTarget:
    return access_key_target(key, REGION)


def statement(action: str, resource: str, **condition: object) -> dict[str, Any]:
    more = {"Condition": condition} if condition else {}
    return {"Effect": "Allow", "Action": action, "Resource": ARN + resource, **more}


async def bound(
    house: House, *statements: Mapping[str, Any], client_id: str = "page", **known: Any
) -> DeviceAuthorizer:
    device = await identified(house, target_of(await new_key(house, *statements)))
    return await device.authorizer(ConnectionFacts(client_id, ADDRESS, "mqtt.example", **known))


async def test_a_key_is_admitted_and_known_until_it_is_deleted(house: House) -> None:
    key = await new_key(house)
    device = await identified(house, target_of(key))
    assert device.scope == Scope(ACCOUNT, REGION)
    assert device.principal_id == target_of(key).principal_id
    assert house.devices.known == {target_of(key)}
    await device.check()

    await deleted(house, key)

    assert await refusal(house, target_of(key)) is DeviceRefusal.ACCESS_KEY_INVALID
    with pytest.raises(DeviceRefused):
        await device.check()


async def test_a_temporary_key_is_valid_until_it_expires(house: House) -> None:
    key = await new_key(house, lifetime=timedelta(minutes=5))
    device = await identified(house, target_of(key))
    assert device.valid_until == key.expires_at
    house.clock.at += timedelta(minutes=5)
    assert await refusal(house, target_of(key)) is DeviceRefusal.ACCESS_KEY_INVALID


async def test_a_key_that_now_is_another_user_s_or_account_s_is_refused(house: House) -> None:
    target = target_of(await new_key(house))
    for other in (
        AccessKeyTarget(target.scope, "AIDAOTHER", target.access_key_id),
        AccessKeyTarget(Scope(OTHER, REGION), target.user_id, target.access_key_id),
    ):
        assert await refusal(house, other) is DeviceRefusal.ACCESS_KEY_INVALID


async def test_the_policy_decides_with_variables_of_the_connection_and_the_user(house: House) -> None:
    authorizer = await bound(
        house,
        statement("iot:Connect", "client/${iot:ClientId}"),
        statement("iot:Publish", "topic/${aws:username}/${iot:ClientId}/*"),
        statement("iot:Subscribe", "topicfilter/${iot:DomainName}/*"),
        statement("iot:Receive", "topic/*", StringEquals={"iot:ClientId": "page"}),
    )
    assert authorizer.allows("iot:Connect", "client/page")
    assert not authorizer.allows("iot:Connect", "client/other")
    assert authorizer.allows("iot:Publish", "topic/ada/page/a")
    assert not authorizer.allows("iot:Publish", "topic/bob/page/a")
    assert authorizer.allows("iot:Subscribe", "topicfilter/mqtt.example/a")
    assert authorizer.allows("iot:Receive", "topic/a")
    denial = authorizer.denial("iot:Publish", "topic/b")
    assert (denial.reason, denial.policy) == ("IMPLICIT_DENY", None)


async def test_a_client_does_not_choose_a_topic_filter_as_its_name(house: House) -> None:
    authorizer = await bound(house, statement("iot:Subscribe", "topicfilter/${iot:ClientId}/a"), client_id="+")
    assert not authorizer.allows("iot:Subscribe", "topicfilter/+/a")


async def test_there_are_no_variables_of_things(house: House) -> None:
    authorizer = await bound(
        house,
        statement("iot:Publish", "topic/${iot:Connection.Thing.ThingName}"),
        statement("iot:Subscribe", "topicfilter/a", Bool={"iot:Connection.Thing.IsAttached": "false"}),
    )
    assert not authorizer.allows("iot:Publish", "topic/page")
    assert not authorizer.allows("iot:Subscribe", "topicfilter/a")


async def test_conditions_of_the_request_and_of_connect_are_tested(house: House) -> None:
    authorizer = await bound(
        house,
        statement("iot:Connect", "*", **{"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}}),
        statement("iot:Publish", "topic/a", Bool={"aws:SecureTransport": "true"}, IpAddress={"aws:SourceIp": ADDRESS}),
        statement("iot:Publish", "topic/b", Bool={"aws:SecureTransport": "false"}),
        statement("iot:Publish", "topic/c", StringEquals={"aws:ResourceAccount": ACCOUNT}),
        attributes=frozenset({ConnectAttribute.LAST_WILL}),
        conditions={"aws:SecureTransport": ("true",)},
    )
    assert not authorizer.allows("iot:Connect", "client/page")
    assert authorizer.allows("iot:Publish", "topic/a")
    assert not authorizer.allows("iot:Publish", "topic/b")
    assert authorizer.allows("iot:Publish", "topic/c")


async def test_a_change_of_the_user_s_keys_is_reported_for_its_connections(house: House) -> None:
    key = await new_key(house)
    device = await identified(house, target_of(key))
    await device.authorizer(ConnectionFacts("page", ADDRESS, None))
    await house.watch.changed_keys()
    assert not await house.watch.changed_keys()

    await deleted(house, key)

    assert set(await house.watch.changed_keys()) == {target_of(key)}


async def test_keys_whose_policies_depend_on_the_time_are_known(house: House) -> None:
    until = {"DateLessThan": {"aws:CurrentTime": "2999-01-01T00:00:00Z"}}
    timed = await new_key(house, statement("iot:Connect", "*", **until))
    lasting = await new_key(house, statement("iot:Connect", "*"))
    for key in (timed, lasting):
        device = await identified(house, target_of(key))
        await device.authorizer(ConnectionFacts("page", ADDRESS, None))
    assert house.devices.access_keys.with_times() == {target_of(timed)}
    house.devices.known.clear()
    assert house.devices.access_keys.with_times() == frozenset()


async def test_a_policy_that_is_too_large_or_broken_binds_no_connection(house: House) -> None:
    heavy = {**EVERYTHING, "Resource": [f"arn:aws:iot:*:*:{'${a:b}' * 180}" for _ in range(8)]}
    device = await identified(house, target_of(await new_key(house, heavy)))
    with pytest.raises(DeviceRefused) as refused:
        await device.authorizer(ConnectionFacts("page", ADDRESS, None))
    assert refused.value.reason is DeviceRefusal.POLICIES_TOO_LARGE
    house.store.execute("UPDATE access_key SET policy_text = $1", "broken")
    with pytest.raises(DeviceRefused) as refused:
        await device.check()
    assert refused.value.reason is DeviceRefusal.ACCESS_KEY_INVALID


async def test_a_will_of_a_lost_node_is_decided_by_the_key(house: House) -> None:
    key = await new_key(house)
    target = target_of(key)
    assert (await house.devices.of_principal(target)).principal_id == target.principal_id
    await deleted(house, key)
    with pytest.raises(DeviceRefused):
        await house.devices.of_principal(target)


async def test_provisioning_names_the_user(house: House) -> None:
    key = await new_key(house)
    fleet = (await identified(house, target_of(key))).fleet_device(ADDRESS)
    assert fleet.caller.principal.arn.endswith(":user/ada")
    assert fleet.caller.principal.policies == ()
    assert fleet.claim is None
