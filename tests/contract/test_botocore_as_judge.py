"""botocore writes requests, and the API reads them; the API answers, and botocore reads that. Nothing is sent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from tests.support.api import Api, new_api
from tests.support.authority import EVERYTHING, caller_with
from tests.support.signing_requests import csr_pem

from thingmint.api.errors import ErrorMap
from thingmint.api.routing import Match, Router
from thingmint.core.errors import ResourceNotFound, ThingmintError
from thingmint.rest.answers import error_answer

Parameters: TypeAlias = Mapping[str, object]
Parsed: TypeAlias = dict[str, Any]  # what botocore makes of an answer

SERVICE = ServiceModel(
    botocore.session.get_session().get_component("data_loader").load_service_model("iot", "service-2"), "iot"
)
# Without the checks of botocore, which would keep most bad values from being written.
SERIALIZER = create_serializer("rest-json", include_validation=False)
PARSER = create_parser("rest-json")


def written(operation: OperationModel, parameters: Parameters) -> Any:  # botocore is untyped
    request = SERIALIZER.serialize_to_request(dict(parameters), operation)
    prepare_request_dict(request, "https://localhost:8443")
    return create_request_object(request).prepare()


def matched(router: Router, request: Any) -> Match:  # botocore is untyped
    return router.match(request.method, urlsplit(request.url).path.encode())


async def call(api: Api, name: str, **parameters: object) -> Parsed:
    operation = SERVICE.operation_model(name)
    request = written(operation, parameters)
    match = matched(api.router, request)
    body = request.body or b""
    raw = match.read(urlsplit(request.url).query.encode(), [], body.encode() if isinstance(body, str) else body)
    try:
        status, headers, answer = 200, {}, await match.invoke(caller_with(EVERYTHING), raw)
    except ThingmintError as error:
        refusal = error_answer(ErrorMap().answer(error))
        status, answer = refusal.status, refusal.body
        headers = {header.decode(): value.decode() for header, value in refusal.headers}
    response = {"status_code": status, "headers": headers, "body": answer}
    parsed: Parsed = PARSER.parse(response, operation.output_shape)
    return parsed


async def test_a_certificate_lives_its_life_through_botocore() -> None:
    api = new_api()
    created = await call(api, "CreateKeysAndCertificate", setAsActive=True)
    certificate_id = created["certificateId"]
    await call(api, "UpdateCertificate", certificateId=certificate_id, newStatus="INACTIVE")

    described = (await call(api, "DescribeCertificate", certificateId=certificate_id))["certificateDescription"]
    tags = await call(api, "ListTagsForResource", resourceArn=created["certificateArn"])
    deleted = await call(api, "DeleteCertificate", certificateId=certificate_id, forceDelete=True)
    missing = await call(api, "DescribeCertificate", certificateId=certificate_id)

    assert set(created["keyPair"]) == {"PublicKey", "PrivateKey"}
    assert (described["status"], described["customerVersion"], described["transferData"]) == ("INACTIVE", 2, {})
    assert described["validity"]["notAfter"] == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert described["creationDate"] == datetime(2018, 10, 31, 21, 52, 31, 983000, tzinfo=UTC)
    assert described["certificatePem"] == created["certificatePem"]
    assert tags["tags"] == []
    assert set(deleted) == {"ResponseMetadata"}
    assert missing["Error"]["Code"] == "ResourceNotFoundException"
    assert missing["ResponseMetadata"]["HTTPStatusCode"] == 404


async def test_pages_are_turned_through_botocore() -> None:
    api = new_api()
    created = [
        (await call(api, "CreateCertificateFromCsr", certificateSigningRequest=csr_pem("p-256")))["certificateId"]
        for _ in range(3)
    ]

    first = await call(api, "ListCertificates", pageSize=2, ascendingOrder=True)
    last = await call(api, "ListCertificates", pageSize=2, ascendingOrder=True, marker=first["nextMarker"])

    assert [entry["certificateId"] for entry in first["certificates"] + last["certificates"]] == created
    assert "nextMarker" not in last


async def test_the_endpoint_is_described_through_botocore() -> None:
    answer = await call(new_api(), "DescribeEndpoint", endpointType="iot:Data-ATS")

    assert answer["endpointAddress"] == "devices.example"


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("DescribeCertificate", {"certificateId": "a/b"}, "Value 'a/b' at 'certificateId'"),
        ("UpdateCertificate", {"certificateId": "0" * 64, "newStatus": "FOO"}, "Member must satisfy enum value set"),
        ("ListCertificates", {"pageSize": 251}, "less than or equal to 250"),
        ("SearchIndex", {"queryString": "lamp"}, "SearchIndex is not implemented by Thingmint"),
    ],
)
async def test_a_refusal_is_read_by_botocore(name: str, parameters: Parameters, message: str) -> None:
    answer = await call(new_api(), name, **parameters)

    assert answer["Error"]["Code"] == "InvalidRequestException"
    assert message in answer["Error"]["Message"]


def test_a_modelled_error_fills_its_modelled_members() -> None:
    refusal = error_answer(ErrorMap().answer(ResourceNotFound("there is none")))
    headers = {header.decode(): value.decode() for header, value in refusal.headers}

    response = {"status_code": refusal.status, "headers": headers, "body": refusal.body}

    generic = PARSER.parse(response, SERVICE.operation_model("DescribeCertificate").output_shape)
    modelled = PARSER.parse(response, SERVICE.shape_for_error_code("ResourceNotFoundException"))

    assert generic["Error"] == {"Code": "ResourceNotFoundException", "Message": "there is none"}
    assert modelled["message"] == "there is none"


ROUTER = new_api().router


@pytest.mark.parametrize("name", SERVICE.operation_names)
def test_a_request_that_botocore_writes_finds_its_operation(name: str) -> None:
    operation = SERVICE.operation_model(name)

    match = matched(ROUTER, written(operation, {} if operation.input_shape is None else sample(operation.input_shape)))

    assert match.operation.name == name


def sample(shape: Shape) -> Any:  # botocore is untyped
    """Return a value of the shape, with text that has to be encoded in a path."""
    match shape:
        case StructureShape():
            return {name: sample(member) for name, member in shape.members.items() if name in shape.required_members}
        case ListShape():
            return [sample(shape.member)]
        case MapShape():
            return {"a": sample(shape.value)}
    return {"boolean": True, "timestamp": 0, "blob": b"x"}.get(
        shape.type_name, 1 if shape.type_name in NUMBERS else TEXT
    )


NUMBERS = {"integer", "long", "double", "float"}
TEXT = "arn:aws:iot/é +%"
