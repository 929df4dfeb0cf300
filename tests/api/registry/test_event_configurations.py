"""Event configurations over the API."""

import pytest
from tests.support.registration.api import Api
from tests.support.registration.authority import NOW

from thingmint.core.errors import InvalidRequest
from thingmint.core.registry.event_configuration import EventType

PATH = "/event-configurations"


async def test_all_types_are_off_until_they_are_switched_on(api: Api) -> None:
    off = {each.value: {"Enabled": False} for each in EventType}
    assert await api.call("GET", PATH) == {"eventConfigurations": off}

    body = b'{"eventConfigurations":{"THING":{"Enabled":true},"POLICY":{"Enabled":false},"JOB":{}}}'
    assert await api.call("PATCH", PATH, body) == {}

    assert await api.call("GET", PATH) == {
        "eventConfigurations": {**off, "THING": {"Enabled": True}},
        "creationDate": round(NOW.timestamp(), 3),
        "lastModifiedDate": round(NOW.timestamp(), 3),
    }


@pytest.mark.parametrize(
    "body",
    [
        b'{"eventConfigurations":{"WEATHER":{"Enabled":true}}}',
        b'{"eventConfigurations":{"THING":{"Enabled":"true"}}}',
    ],
)
async def test_what_is_no_configuration_is_refused(api: Api, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await api.call("PATCH", PATH, body)
    assert not api.store.tables.rows("event_configuration")


async def test_a_false_that_a_client_leaves_out_switches_off(api: Api) -> None:
    await api.call("PATCH", PATH, b'{"eventConfigurations":{"THING":{"Enabled":true}}}')

    await api.call("PATCH", PATH, b'{"eventConfigurations":{"THING":{}}}')

    assert (await api.call("GET", PATH))["eventConfigurations"]["THING"] == {"Enabled": False}


async def test_nothing_to_switch_switches_nothing(api: Api) -> None:
    assert await api.call("PATCH", PATH) == {}
    assert not api.store.tables.audit


def test_policies_are_asked_about_everything(api: Api) -> None:
    assert [api.resource_of(method, PATH) for method in ("GET", "PATCH")] == ["*", "*"]
