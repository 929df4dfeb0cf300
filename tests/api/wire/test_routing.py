"""From methods and raw paths to operations."""

import pytest

from thingmint.api.wire.operation import Operation, Served, unimplemented
from thingmint.api.wire.resources import any_resource
from thingmint.api.wire.routing import Router
from thingmint.core.errors import InvalidRequest, OperationUnknown
from thingmint.core.identifiers import AccountId, Region, Scope

SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))

ROUTES = {
    "List": "GET /things",
    "Create": "POST /things/{thingName}",
    "Describe": "GET /things/{thingName}",
    "Principals": "GET /things/{name}/principals",
    "AddToGroup": "PUT /groups/addThing",
    "DescribeGroup": "GET /groups/{groupName}",
    "UpdateGroup": "PUT /groups/{groupName}",
    "GroupShape": "PUT /groups/{groupName}/addThing/shape",
    "GetDestination": "GET /destinations/{arn+}",
    "Version": "GET /policies/{policyName}/version/{policyVersionId}",
    "Authorizers": "GET /authorizers/",
}
ROUTER = Router([unimplemented(name, route) for name, route in ROUTES.items()])


@pytest.mark.parametrize(
    ("method", "path", "name", "labels"),
    [
        ("GET", b"/things", "List", {}),
        ("POST", b"/things/lamp", "Create", {"thingName": "lamp"}),
        ("GET", b"/things/lamp", "Describe", {"thingName": "lamp"}),
        ("GET", b"/things/lamp/principals", "Principals", {"name": "lamp"}),
        ("GET", b"/things/a%2Fb%3Ac", "Describe", {"thingName": "a/b:c"}),
        ("GET", b"/things/..", "Describe", {"thingName": ".."}),
        ("GET", b"/things/a+b", "Describe", {"thingName": "a+b"}),
        ("GET", b"/things/principals/principals", "Principals", {"name": "principals"}),
        ("PUT", b"/groups/addThing", "AddToGroup", {}),
        ("GET", b"/groups/addThing", "DescribeGroup", {"groupName": "addThing"}),
        ("PUT", b"/groups/lamps", "UpdateGroup", {"groupName": "lamps"}),
        ("PUT", b"/groups/addThing/addThing/shape", "GroupShape", {"groupName": "addThing"}),
        ("GET", b"/destinations/arn:aws:iot/a/b%2F", "GetDestination", {"arn": "arn:aws:iot/a/b/"}),
        ("GET", b"/policies/p/version/1", "Version", {"policyName": "p", "policyVersionId": "1"}),
        ("GET", b"/authorizers/", "Authorizers", {}),
        ("GET", b"/authorizers", "Authorizers", {}),
    ],
)
def test_a_request_finds_its_operation(method: str, path: bytes, name: str, labels: dict[str, str]) -> None:
    match = ROUTER.match(method, path)

    assert match.operation.name == name
    assert match.labels == labels


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", b"/"),
        ("GET", b""),
        ("GET", b"things"),
        ("GET", b"*"),
        ("GET", b"/nothing"),
        ("HEAD", b"/things"),
        ("DELETE", b"/things"),
        ("get", b"/things"),
        ("GET", b"/things/"),
        ("GET", b"//things"),
        ("GET", b"/things//principals"),
        ("GET", b"/things/lamp/principals/more"),
        ("GET", b"/Things"),
        ("GET", b"/%74hings"),
        ("GET", b"/destinations/"),
        ("GET", b"/policies/p/version"),
    ],
)
def test_a_request_for_nothing_known_is_refused(method: str, path: bytes) -> None:
    with pytest.raises(OperationUnknown):
        ROUTER.match(method, path)


@pytest.mark.parametrize("path", [b"/things/%ff", b"/things/%4", b"/things/a%00b", b"/things/\xff"])
def test_a_label_that_cannot_be_decoded_is_refused(path: bytes) -> None:
    with pytest.raises(InvalidRequest, match="The path of the request"):
        ROUTER.match("GET", path)


@pytest.mark.parametrize(
    "routes",
    [
        ("GET /things", "GET /things"),
        ("GET /things/{a}", "GET /things/{b}"),
        ("GET /destinations/{a+}", "GET /destinations/{b+}"),
    ],
)
def test_two_operations_on_one_route_are_refused_when_the_service_is_wired(routes: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="Second and First have the same route"):
        Router([unimplemented("First", routes[0]), unimplemented("Second", routes[1])])


def test_a_match_reads_the_parts_of_its_request() -> None:
    raw = ROUTER.match("GET", b"/things/lamp").read(b"a=1", [(b"host", b"x")], b"body")

    assert (raw.labels, raw.query, raw.headers, raw.body) == (
        {"thingName": "lamp"},
        [("a", "1")],
        [(b"host", b"x")],
        b"body",
    )


def test_an_operation_without_a_resource_asks_no_policy() -> None:
    match = ROUTER.match("GET", b"/things")

    assert match.operation.resources(SCOPE, match.read(b"", [], b"")) == ()


def test_an_operation_names_its_action_and_resource() -> None:
    listed = unimplemented("List", "GET /things")
    operation = Served(Operation("List", "GET", "/things", any_resource), listed.invoke)
    match = Router([operation]).match("GET", b"/things")

    assert match.operation.action == "iot:List"
    assert match.operation.resources(SCOPE, match.read(b"", [], b"")) == ("*",)
