"""Which condition keys exist, and which of a policy's never do."""

import re
from pathlib import Path

import pytest
from tests.support.registration.policies import Json, document, statement

from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.policies.condition_keys import (
    CALLER_KEYS,
    DEVICE_ACTIONS,
    DEVICE_KEYS,
    WEB_SOCKET_KEYS,
    never_present,
)
from thingmint.core.policies.device_context import (
    ConnectAttribute,
    ConnectionContext,
    access_key_context,
    connect_context,
)
from thingmint.core.policies.language import parse_policy

PAGE = Path(__file__).parents[3] / "docs/reference/policies.md"
ACTIONS = ("iot:ListThings", "iot:SendDirectMessage", "iot:GetConnection", "iot:TagResource", "iam:PassRole")


def callers(*statements: dict[str, Json]) -> tuple[str, ...]:
    return never_present(parse_policy(document(*statements)), CALLER_KEYS, ACTIONS)


def devices(*statements: dict[str, Json]) -> tuple[str, ...]:
    return never_present(parse_policy(document(*statements)), DEVICE_KEYS, DEVICE_ACTIONS)


def when(key: str, **elements: Json) -> dict[str, Json]:
    return statement(Condition={"StringEquals": {key: "x"}}, **elements)


@pytest.mark.parametrize(
    "key",
    [
        "aws:userid",
        "AWS:UserID",
        "aws:RequestTag/a b/c",
        "aws:ResourceTag/\n",
        "aws:TagKeys",
        "iot:Topic",
        "aws:EpochTime",
    ],
)
def test_keys_of_callers_are_known_in_any_case(key: str) -> None:
    assert callers(when(key)) == ()


@pytest.mark.parametrize(
    "key", ["aws:SourceVpce", "aws:PrincipalTag/team", "aws:RequestTag/", "iot:ClientId", "iot:Topics", "s3:prefix"]
)
def test_keys_that_no_request_has_are_named(key: str) -> None:
    assert callers(statement(), when(key)) == (key.lower(),)


def test_a_key_of_another_action_is_never_present() -> None:
    assert callers(when("iot:Topic", Action="iot:ListThings")) == ("iot:topic",)
    assert callers(when("iot:Topic", Action="iot:Send*")) == ()
    assert callers(when("aws:RequestTag/team", Action="iot:List*")) == ("aws:requesttag/team",)
    assert callers(when("iot:IncludeSocketInformation", Action=["iot:SendDirectMessage", "iot:GetConnection"])) == ()


def test_what_a_statement_says_of_other_services_is_passed_over() -> None:
    assert callers(when("s3:prefix", Action="s3:ListBucket")) == ()
    assert callers(when("s3:prefix", NotAction="iot:*", Action=None)) == ("s3:prefix",)


@pytest.mark.parametrize(
    "variable", ["iot:ClientId", "iot:Connection.Thing.Attributes[a.b]", "iot:Certificate.Issuer.CommonName.4"]
)
def test_variables_of_devices_are_known(variable: str) -> None:
    assert devices(statement(Resource=f"arn:aws:iot:us-east-1:123456789012:client/${{{variable}}}")) == ()


@pytest.mark.parametrize(
    "variable", ["iot:Nope", "iot:Thing.ThingName", "aws:CurrentTime", "iot:Certificate.Subject.CommonName.5"]
)
def test_variables_that_no_device_has_are_named(variable: str) -> None:
    resource = f"arn:aws:iot:us-east-1:123456789012:client/${{{variable}, 'default'}}"
    assert devices(statement(Resource=resource)) == (variable.lower(),)


def test_what_a_connect_asks_for_is_known_to_connecting_alone() -> None:
    for key in ("iot:LastWillTopic", "iot:ConnectAttributes"):
        assert devices(when(key)) == devices(when(key, Action="iot:Connect")) == ()
        assert devices(when(key, Action="iot:Publish")) == (key.lower(),)


def test_the_page_on_policies_has_every_key_of_devices() -> None:
    part, _ = PAGE.read_text().split("## Policies of callers")
    for key in DEVICE_KEYS:
        if key.name.startswith("iot:Certificate."):
            word = re.sub(r"\.(List|[0-4])$", "", key.name).rpartition(".")[2]
            assert f"`{word}`" in part or f"`iot:Certificate.{word}`" in part, key.name
        else:
            assert any(f"`{name}" in part for name in (key.name, f".{key.name.rpartition('.')[2]}")) or (
                key.name == "iot:Connection.Thing.Attributes[${Name}]" and "`.Attributes[name]`" in part
            ), key.name


def test_the_keys_of_devices_are_those_of_the_documents() -> None:
    # IoT developer guide, "Basic AWS IoT Core policy variables", "Thing policy variables", "X.509 Certificate AWS IoT
    # Core policy variables", and "Connect policy examples".
    bases = {key.name for key in DEVICE_KEYS if not key.name.startswith("iot:Certificate.")}
    assert bases == {
        "aws:SourceIp",
        "iot:CertificateId",
        "iot:ClientId",
        "iot:ConnectAttributes",
        "iot:Connection.Thing.Attributes[${Name}]",
        "iot:Connection.Thing.IsAttached",
        "iot:Connection.Thing.ThingName",
        "iot:Connection.Thing.ThingTypeName",
        "iot:DomainName",
        "iot:LastWillTopic",
    }
    # Serial number and available keys; of subject and issuer, 13 attributes and 5 kinds of alternative names, each
    # alone, as a list, and by five indexes.
    assert len(DEVICE_KEYS) - len(bases) == 2 + 2 * (13 + 5) * 7
    at_connect = {key.name for key in DEVICE_KEYS if key.actions}
    assert at_connect == {"iot:ConnectAttributes", "iot:LastWillTopic"}


def test_the_page_on_policies_has_every_key_of_callers() -> None:
    _, callers_part = PAGE.read_text().split("## Policies of callers")
    every = (*CALLER_KEYS, *WEB_SOCKET_KEYS)
    assert [key.name for key in every if f"`{key.name}`" not in callers_part] == []


def test_the_keys_of_web_sockets_are_those_that_decide_requests_there() -> None:
    scope = Scope(AccountId("000000000000"), Region("us-east-1"))
    lasting = access_key_context(ConnectionContext("a", None, "b"), {})
    at_connect = connect_context(lasting, scope, ConnectAttribute, "c")
    assert {key.name for key in WEB_SOCKET_KEYS} == set(at_connect.names)
    assert {key.name for key in WEB_SOCKET_KEYS if key.is_given_to("iot:Publish")} == set(lasting.names)
