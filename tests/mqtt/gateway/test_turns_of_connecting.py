"""The most expensive legal policies of a device: neither CONNECT nor a message keeps the event loop for long."""

import asyncio
import json
from collections.abc import Callable

import pytest
from tests.mqtt.edges.test_registered_devices import House
from tests.support.machine.turn_watch import TurnSelector, begin, run_watched
from tests.support.registration.authority import ACCOUNT, REGION
from tests.support.registration.policies import Json, document, statement

from thingmint.core.identifiers import certificate_id_of
from thingmint.mqtt.rights.ports import ConnectionFacts, DeviceRefused

FACTS = ConnectionFacts("lamp", "192.0.2.7", None)
PADDING = " " * 400_000
CONNECT = statement(Action="iot:Connect")


def worst_patterns() -> str:
    return document(statement(Effect="Deny", Action="iot:*", Resource=["arn:*" + "aaaaa?" * 10 + "c*"] * 25), CONNECT)


def many_patterns() -> str:
    return document(statement(Effect="Deny", Action="iot:*", Resource=["arn:*a?b*"] * 130), CONNECT)


def many_values() -> str:
    condition: Json = {"StringLike": {"iot:Certificate.AvailableKeys": ["*?"] * 200}}
    return document(statement(Effect="Deny", Action="iot:*", Condition=condition), CONNECT)


def much_white_space() -> str:
    return document(CONNECT) + PADDING


POLICIES: list[Callable[[], str]] = [worst_patterns, many_patterns, many_values, much_white_space]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("policies", [10, 30])
def test_to_connect_and_to_publish_has_no_long_turn(policy: Callable[[], str], policies: int) -> None:
    async def work(selector: TurnSelector) -> None:
        house = House()
        der = await house.certificate()
        await attach(house, der, policy(), policies)
        device = await house.identify(der)
        await begin(selector)
        try:
            authorizer = await device.authorizer(FACTS)
        except DeviceRefused:
            # Policies that are too large together bind no connection.
            return
        assert authorizer.allows("iot:Connect", "client/lamp")
        await asyncio.sleep(0)
        for number in range(4):
            assert not authorizer.allows("iot:Publish", f"topic/{'a' * 250}/{number}")

    run_watched(work)


async def test_many_policies_of_usual_size_bind_a_connection() -> None:
    house = House()
    der = await house.certificate()
    text = document(
        statement(Action="iot:Connect", Resource="arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"),
        statement(Action=["iot:Publish", "iot:Receive"], Resource="arn:aws:iot:*:*:topic/lamps/${iot:ClientId}/*"),
    )
    await attach(house, der, text, 100)
    device = await house.identify(der)
    assert (await device.authorizer(FACTS)).allows("iot:Publish", "topic/lamps/lamp/on")


async def attach(house: House, der: bytes, text: str, policies: int) -> None:
    """Attach so many policies to the certificate; more than ten are in force through thing groups only."""
    target = f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{certificate_id_of(der)}"
    for number in range(policies):
        await house.api.call("POST", f"/policies/p{number}", json.dumps({"policyDocument": text}).encode())
        house.store.execute(
            "INSERT INTO policy_attachment (account, region, policy_name, target) VALUES ($1, $2, $3, $4)",
            ACCOUNT,
            REGION,
            f"p{number}",
            target,
        )
