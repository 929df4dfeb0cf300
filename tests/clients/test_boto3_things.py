"""Things, their types and their certificates, as AWS's SDK for Python calls them on a live service."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import ClientOf, IoT, Live, allow, deny, policy, refusal_of, refused
from tests.support.services.service import running_service

pytestmark = pytest.mark.engines

OURS = "arn:aws:iot:us-east-1:000000000000"
NOT_FOUND, INVALID = ("ResourceNotFoundException", 404), ("InvalidRequestException", 400)
EXISTS, CONFLICT = ("ResourceAlreadyExistsException", 409), ("VersionConflictException", 409)
DENIED = ("AccessDeniedException", 403)


def fresh(kind: str) -> str:
    """Return a name that nothing else in the session's registry has."""
    return f"{kind}-{uuid.uuid4()}"


def certificate(iot: IoT) -> str:
    arn: str = iot.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"))["certificateArn"]
    return arn


def test_a_thing_lives_its_life(iot: IoT) -> None:
    name, kind = fresh("lamp"), fresh("light")
    iot.create_thing_type(thingTypeName=kind)
    created = iot.create_thing(
        thingName=name, thingTypeName=kind, attributePayload={"attributes": {"colour": "red", "wattage": "60"}}
    )
    assert created["thingArn"] == f"{OURS}:thing/{name}"
    assert str(uuid.UUID(created["thingId"])) == created["thingId"]

    iot.update_thing(thingName=name, attributePayload={"attributes": {"colour": ""}, "merge": True}, expectedVersion=1)
    described = iot.describe_thing(thingName=name)
    described.pop("ResponseMetadata")
    assert described == {
        "defaultClientId": name,
        "thingName": name,
        "thingId": created["thingId"],
        "thingArn": created["thingArn"],
        "thingTypeName": kind,
        "attributes": {"wattage": "60"},
        "version": 2,
    }

    iot.delete_thing(thingName=name, expectedVersion=2)
    assert refused(iot.describe_thing, thingName=name) == NOT_FOUND
    iot.delete_thing(thingName=name)


def test_creating_a_thing_again_is_answered_alike_or_refused(iot: IoT) -> None:
    name = fresh("lamp")
    created = iot.create_thing(thingName=name)

    assert iot.create_thing(thingName=name)["thingId"] == created["thingId"]
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as caught:
        iot.create_thing(thingName=name, attributePayload={"attributes": {"colour": "red"}})

    assert caught.value.response["resourceArn"] == created["thingArn"]
    assert caught.value.response["resourceId"] == created["thingId"]


def test_the_modelled_errors_of_things(iot: IoT) -> None:
    name, missing = fresh("lamp"), fresh("none")
    iot.create_thing(thingName=name)

    assert refused(iot.create_thing, thingName=fresh("lamp"), thingTypeName=missing) == NOT_FOUND
    assert refused(iot.create_thing, thingName=fresh("lamp"), billingGroupName=missing) == NOT_FOUND
    assert refused(iot.create_thing, thingName="a b") == INVALID
    assert refused(iot.update_thing, thingName=missing) == NOT_FOUND
    assert refused(iot.update_thing, thingName=name, thingTypeName=missing) == NOT_FOUND
    assert refused(iot.update_thing, thingName=name, expectedVersion=7) == CONFLICT
    assert refused(iot.delete_thing, thingName=name, expectedVersion=7) == CONFLICT
    assert refused(iot.describe_thing, thingName=missing) == NOT_FOUND
    assert refused(iot.list_things, attributeValue="red") == INVALID
    assert refused(iot.list_things, maxResults=251) == INVALID
    four = {"attributes": {f"a{number}": "1" for number in range(4)}}
    assert refused(iot.update_thing, thingName=name, attributePayload=four) == INVALID
    assert iot.describe_thing(thingName=name)["version"] == 1


def test_things_are_found_by_type_and_attribute_page_by_page(iot: IoT) -> None:
    kind, batch = fresh("light"), fresh("batch")
    iot.create_thing_type(thingTypeName=kind)
    names = [f"{batch}-{number}" for number in range(7)]
    for number, name in enumerate(names):
        typed = {"thingTypeName": kind} if number % 2 else {}
        iot.create_thing(thingName=name, attributePayload={"attributes": {"batch": f"{batch}-{number % 3}"}}, **typed)

    def found(size: int = 2, **wanted: object) -> list[str]:
        pages = iot.get_paginator("list_things").paginate(PaginationConfig={"PageSize": size}, **wanted)
        return [thing["thingName"] for page in pages for thing in page["things"]]

    assert found(thingTypeName=kind) == names[1::2]
    assert found(attributeName="batch", attributeValue=f"{batch}-0") == [names[0], names[3], names[6]]
    assert found(attributeName="batch", attributeValue=f"{batch}-0", thingTypeName=kind) == [names[3]]
    prefixed = found(attributeName="batch", attributeValue=f"{batch}-", usePrefixAttributeValue=True)
    assert prefixed == [names[number] for number in (0, 3, 6, 1, 4, 2, 5)]
    assert found(attributeName="batch", attributeValue=f"{batch}-") == []
    # Other tests have left many things.
    assert set(names) <= set(found(250, attributeName="batch"))
    assert set(names) <= set(found(250))


def test_a_certificate_is_attached_and_keeps_its_thing(iot: IoT) -> None:
    name, other, arn = fresh("lamp"), fresh("fan"), certificate(iot)
    for each in (name, other):
        iot.create_thing(thingName=each)

    iot.attach_thing_principal(thingName=name, principal=arn)
    iot.attach_thing_principal(thingName=name, principal=arn)
    iot.attach_thing_principal(thingName=other, principal=arn)

    assert iot.list_thing_principals(thingName=name)["principals"] == [arn]
    assert iot.list_principal_things(principal=arn)["things"] == [name, other]
    refusal = refusal_of(iot.delete_thing, thingName=name)
    assert (refusal.name, refusal.status) == INVALID
    assert refusal.message == f"Cannot delete. Thing {name} is still attached to one or more principals"
    assert refused(iot.delete_certificate, certificateId=arn.rsplit("/", 1)[1]) == ("DeleteConflictException", 409)
    iot.detach_thing_principal(thingName=name, principal=arn)
    iot.detach_thing_principal(thingName=name, principal=arn)
    iot.delete_thing(thingName=name)
    assert iot.list_principal_things(principal=arn)["things"] == [other]


def test_an_exclusive_certificate_belongs_to_one_thing(iot: IoT) -> None:
    name, other, arn = fresh("lamp"), fresh("fan"), certificate(iot)
    for each in (name, other):
        iot.create_thing(thingName=each)

    iot.attach_thing_principal(thingName=name, principal=arn, thingPrincipalType="EXCLUSIVE_THING")

    assert refused(iot.attach_thing_principal, thingName=other, principal=arn) == INVALID
    assert iot.list_thing_principals_v2(thingName=name)["thingPrincipalObjects"] == [
        {"principal": arn, "thingPrincipalType": "EXCLUSIVE_THING"}
    ]
    assert iot.list_principal_things_v2(principal=arn)["principalThingObjects"] == [
        {"thingName": name, "thingPrincipalType": "EXCLUSIVE_THING"}
    ]
    filtered = iot.list_principal_things_v2(principal=arn, thingPrincipalType="NON_EXCLUSIVE_THING")
    assert filtered["principalThingObjects"] == []


def test_the_modelled_errors_of_principals(iot: IoT) -> None:
    name, missing, arn = fresh("lamp"), fresh("none"), certificate(iot)
    iot.create_thing(thingName=name)
    no_certificate = f"{OURS}:cert/{'0' * 64}"

    for call in (iot.attach_thing_principal, iot.detach_thing_principal):
        assert refused(call, thingName=missing, principal=arn) == NOT_FOUND
        assert refused(call, thingName=name, principal=no_certificate) == NOT_FOUND
        assert refused(call, thingName=name, principal="certificate") == INVALID
    for call in (iot.list_thing_principals, iot.list_thing_principals_v2):
        assert refused(call, thingName=missing) == NOT_FOUND
    for call in (iot.list_principal_things, iot.list_principal_things_v2):
        assert refused(call, principal=no_certificate) == NOT_FOUND
    assert refused(iot.attach_thing_principal, thingName=name, principal=arn, thingPrincipalType="ONE") == INVALID


def test_principals_are_listed_page_by_page(iot: IoT) -> None:
    name, arns = fresh("lamp"), [certificate(iot) for _ in range(3)]
    iot.create_thing(thingName=name)
    for arn in arns:
        iot.attach_thing_principal(thingName=name, principal=arn)

    pages = iot.get_paginator("list_thing_principals").paginate(thingName=name, PaginationConfig={"PageSize": 2})

    assert [page["principals"] for page in pages] == [arns[:2], arns[2:]]
    first = iot.list_thing_principals_v2(thingName=name, maxResults=2)
    assert refused(iot.list_thing_principals, thingName=name, nextToken=first["nextToken"]) == INVALID


def test_policies_decide_by_thing_and_certificate(live: Live, iot: IoT, client_of: ClientOf) -> None:
    own, other, arn = fresh("lamp"), fresh("fan"), certificate(iot)
    for each in (own, other):
        iot.create_thing(thingName=each)
    own_arn, other_arn = f"{OURS}:thing/{own}", f"{OURS}:thing/{other}"
    attach = allow("iot:AttachThingPrincipal", resource=arn) | {
        "Condition": {"StringEquals": {"iot:thingArn": own_arn}}
    }
    key = live.create_access_key(policy(allow("iot:*Thing", resource=own_arn), attach), "--user", "owner")
    client = client_of(live, key)

    client.update_thing(thingName=own)
    client.attach_thing_principal(thingName=own, principal=arn)
    refusal = refusal_of(client.describe_thing, thingName=other)

    assert (refusal.name, refusal.status) == DENIED
    assert refusal.message == (
        "User: arn:aws:iam::000000000000:user/owner is not authorized to perform: iot:DescribeThing "
        f"on resource: {other_arn} because no identity-based policy allows the iot:DescribeThing action"
    )
    assert refused(client.attach_thing_principal, thingName=other, principal=arn) == DENIED
    assert refused(client.detach_thing_principal, thingName=own, principal=arn) == DENIED
    assert refused(client.list_things) == DENIED
    assert iot.list_principal_things(principal=arn)["things"] == [own]


def test_a_type_is_described_listed_and_deprecated(iot: IoT) -> None:
    name = fresh("light")
    properties = {
        "thingTypeDescription": "gives light",
        "searchableAttributes": ["wattage"],
        "mqtt5Configuration": {"propagatingAttributes": [{"userPropertyKey": "w", "thingAttribute": "wattage"}]},
    }
    created = iot.create_thing_type(thingTypeName=name, thingTypeProperties=properties)
    assert created["thingTypeArn"] == f"{OURS}:thingtype/{name}"
    assert (
        iot.create_thing_type(thingTypeName=name, thingTypeProperties=properties)["thingTypeId"]
        == (created["thingTypeId"])
    )

    iot.deprecate_thing_type(thingTypeName=name)

    described = iot.describe_thing_type(thingTypeName=name)
    assert described["thingTypeProperties"] == properties
    assert described["thingTypeMetadata"]["deprecated"] is True
    assert described["thingTypeMetadata"]["deprecationDate"] >= described["thingTypeMetadata"]["creationDate"]
    (listed,) = iot.list_thing_types(thingTypeName=name)["thingTypes"]
    assert listed["thingTypeProperties"] == properties
    assert refused(iot.create_thing, thingName=fresh("lamp"), thingTypeName=name) == INVALID
    refusal = refusal_of(iot.delete_thing_type, thingTypeName=name)
    assert (refusal.name, refusal.status) == INVALID
    assert "Please wait for 5 minutes after deprecation and then retry" in refusal.message
    iot.deprecate_thing_type(thingTypeName=name, undoDeprecate=True)
    assert refused(
        iot.update_thing_type, thingTypeName=name, thingTypeProperties={"thingTypeDescription": "warms"}
    ) == (INVALID)
    propagating = {"propagatingAttributes": [{"userPropertyKey": "w", "thingAttribute": "wattage"}]}
    iot.update_thing_type(thingTypeName=name, thingTypeProperties={"mqtt5Configuration": propagating})
    iot.update_thing_type(thingTypeName=name)
    iot.create_thing(thingName=fresh("lamp"), thingTypeName=name)
    after = iot.describe_thing_type(thingTypeName=name)["thingTypeProperties"]
    assert after == {**properties, "mqtt5Configuration": propagating}


def test_the_modelled_errors_of_types(iot: IoT) -> None:
    name, missing = fresh("light"), fresh("none")
    iot.create_thing_type(thingTypeName=name)

    other = {"searchableAttributes": ["wattage"]}
    assert refused(iot.create_thing_type, thingTypeName=name, thingTypeProperties=other) == EXISTS
    assert refused(iot.create_thing_type, thingTypeName="a b") == INVALID
    assert refused(iot.update_thing_type, thingTypeName=name, thingTypeProperties=other) == INVALID
    assert refused(iot.delete_thing_type, thingTypeName=name) == INVALID
    for call in (
        iot.describe_thing_type,
        iot.update_thing_type,
        iot.deprecate_thing_type,
        iot.delete_thing_type,
    ):
        assert refused(call, thingTypeName=missing) == NOT_FOUND
    assert iot.list_thing_types(thingTypeName=missing)["thingTypes"] == []


def test_types_are_listed_page_by_page(iot: IoT) -> None:
    names = [fresh("light") for _ in range(3)]
    for name in names:
        iot.create_thing_type(thingTypeName=name)

    pages = iot.get_paginator("list_thing_types").paginate(PaginationConfig={"PageSize": 2})

    listed = [each["thingTypeName"] for page in pages for each in page["thingTypes"]]
    assert [name for name in listed if name in names] == names


def test_policies_decide_by_type(live: Live, iot: IoT, client_of: ClientOf) -> None:
    name = fresh("light")
    iot.create_thing_type(thingTypeName=name)
    kept = deny("iot:DeprecateThingType", resource=f"{OURS}:thingtype/{name}")
    client = client_of(live, live.create_access_key(policy(allow("*"), kept)))

    assert refused(client.deprecate_thing_type, thingTypeName=name) == DENIED
    assert client.describe_thing_type(thingTypeName=name)["thingTypeMetadata"]["deprecated"] is False


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service that lets deprecated types be deleted at once."""
    directory: Path = tmp_path_factory.mktemp("impatient") / "data"
    with running_service(directory, "--thing-type-deletable-after", "0") as service:
        yield Live(service, None)


def test_a_deprecated_type_is_deleted_when_the_operator_lets_it(impatient: Live, client_of: ClientOf) -> None:
    iot = client_of(impatient)
    iot.create_thing_type(thingTypeName="light")
    iot.create_thing(thingName="lamp", thingTypeName="light")
    iot.deprecate_thing_type(thingTypeName="light")

    assert refused(iot.delete_thing_type, thingTypeName="light") == INVALID
    iot.update_thing(thingName="lamp", removeThingType=True)
    iot.delete_thing_type(thingTypeName="light")

    assert refused(iot.describe_thing_type, thingTypeName="light") == NOT_FOUND
