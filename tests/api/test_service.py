"""The whole of the API behind one router."""

import pytest
from tests.support.registration.api import Api

from thingmint.api.service import is_operation
from thingmint.core.errors import OperationUnknown


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/indices/search", "SearchIndex"),
        ("GET", "/destinations/arn%3Aaws/a/b", "GetTopicRuleDestination"),
        ("GET", "/authorizers/", "ListAuthorizers"),
        ("POST", "/dynamic-thing-groups/lamps", "CreateDynamicThingGroup"),
    ],
)
async def test_an_operation_that_thingmint_does_not_have_says_so_by_name(
    api: Api, method: str, path: str, name: str
) -> None:
    with pytest.raises(OperationUnknown, match=f"^{name} is not implemented by Thingmint$"):
        await api.call(method, path, b"\xff")


def test_no_policy_is_asked_for_what_cannot_be_done(api: Api) -> None:
    assert api.resource_of("POST", "/indices/search") is None
    assert api.resources_of("POST", "/indices/search") == ()


def test_names_of_operations_are_known_implemented_or_not() -> None:
    assert all(map(is_operation, ("CreateKeysAndCertificate", "Publish", "SearchIndex")))
    assert not any(map(is_operation, ("CreateKeysAndCertificat", "createThing", "")))
