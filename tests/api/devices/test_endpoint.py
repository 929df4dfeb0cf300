"""DescribeEndpoint."""

import pytest
from tests.support.registration.api import Api

from thingmint.core.errors import InvalidRequest


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?endpointType=iot:Data",
        "?endpointType=iot%3AData-ATS",
        "?endpointType=iot:Data-Beta",
    ],
)
async def test_every_kind_of_endpoint_that_is_served_has_the_one_address(api: Api, query: str) -> None:
    assert await api.call("GET", f"/endpoint{query}") == {"endpointAddress": "devices.example"}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("endpointType=iot:Nothing", "Endpoint type 'iot:Nothing' is not one of iot:Data, iot:Data-ATS"),
        ("endpointType=iot:CredentialProvider", "Endpoint type 'iot:CredentialProvider' is not served by Thingmint"),
        ("endpointType=iot%3AJobs", "Endpoint type 'iot:Jobs' is not served by Thingmint"),
        ("endpointType=", "Endpoint type '' is not one of"),
        (f"endpointType={'x' * 129}", "Member must have length less than or equal to 128"),
    ],
)
async def test_a_kind_that_does_not_exist_is_refused(api: Api, query: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        await api.call("GET", f"/endpoint?{query}")


def test_policies_are_asked_about_everything(api: Api) -> None:
    assert api.resource_of("GET", "/endpoint") == "*"
