"""Which condition keys exist, and which of a policy's never do."""

import re
from pathlib import Path

import pytest
from tests.support.policies import Json, document, statement

from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.policies.certificate_variables import certificate_keys
from thingmint.core.policies.condition_keys import CALLER_KEYS, DEVICE_ACTIONS, DEVICE_KEYS, never_present
from thingmint.core.policies.device_context import ConnectAttribute, DeviceConnection, connect_context, device_context
from thingmint.core.policies.language import parse_policy

ACTIONS = ("iot:ListThings", "iot:SendDirectMessage", "iot:GetConnection", "iam:PassRole")


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


def test_the_keys_that_a_connection_has_are_in_the_table(every_name: dict[str, tuple[str, ...]]) -> None:
    context = device_context(DeviceConnection("lamp", "192.0.2.1", "iot.example", None, every_name))
    scope = Scope(AccountId("123456789012"), Region("us-east-1"))
    whole = connect_context(context, scope, [*ConnectAttribute], "will")
    for key in DEVICE_KEYS:
        if "Thing." not in key.name and key.name != "iot:CertificateId":
            assert whole.has(key.name), key.name
    for name in certificate_keys(every_name):
        assert any(key.is_named(name) for key in DEVICE_KEYS), name


def test_the_page_on_policies_has_every_key_of_callers() -> None:
    page = Path(__file__).parents[3] / "docs/reference/policies.md"
    _, callers_part = page.read_text().split("## Policies of callers")
    assert [key.name for key in CALLER_KEYS if f"`{key.name}`" not in callers_part] == []


@pytest.fixture
def every_name() -> dict[str, tuple[str, ...]]:
    bases = {key.name.removeprefix("iot:Certificate.") for key in DEVICE_KEYS if "Certificate." in key.name}
    attributes = {base for base in bases if not re.search(r"\.(List|[0-9])$|AvailableKeys", base)}
    return dict.fromkeys(attributes, ("a", "b", "c", "d", "e", "f"))
