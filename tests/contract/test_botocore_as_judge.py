"""botocore writes requests, and the API reads them; the API answers, and botocore reads that. Nothing is sent."""

import json
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
from tests.support.certificates.signing_requests import csr_pem
from tests.support.registration.api import Api, new_api
from tests.support.registration.authority import EVERYTHING, caller_with

from thingmint.api.devices.data_plane import DeviceMessage, RetainedMessage
from thingmint.api.wire.errors import ErrorMap
from thingmint.api.wire.routing import Match, Router
from thingmint.core.errors import ResourceNotFound, ThingmintError
from thingmint.rest.answers import error_answer

Parameters: TypeAlias = Mapping[str, object]
Parsed: TypeAlias = dict[str, Any]  # what botocore makes of an answer

LOADER = botocore.session.get_session().get_component("data_loader")
SERVICE = ServiceModel(LOADER.load_service_model("iot", "service-2"), "iot")
DATA_SERVICE = ServiceModel(LOADER.load_service_model("iot-data", "service-2"), "iot-data")
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
    operation = (DATA_SERVICE if name in DATA_SERVICE.operation_names else SERVICE).operation_model(name)
    request = written(operation, parameters)
    match = matched(api.router, request)
    body = request.body or b""
    headers = [(header.lower().encode(), _octets(value)) for header, value in request.headers.items()]
    raw = match.read(urlsplit(request.url).query.encode(), headers, _octets(body))
    try:
        status, said, answer = 200, {}, await match.invoke(caller_with(EVERYTHING), raw)
    except ThingmintError as error:
        refusal = error_answer(ErrorMap().answer(error, match.operation.plane))
        status, answer = refusal.status, refusal.body
        said = {header.decode(): value.decode() for header, value in refusal.headers}
    response = {"status_code": status, "headers": said, "body": answer}
    parsed: Parsed = PARSER.parse(response, operation.output_shape)
    return parsed


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


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


async def test_a_message_is_published_through_botocore() -> None:
    api = new_api()

    answer = await call(
        api,
        "Publish",
        topic="a/é b",
        qos=1,
        retain=True,
        payload=b"\xff{",
        userProperties=[{"a": "1"}, {"a": "2", "b": "3"}],
        payloadFormatIndicator="UTF8_DATA",
        contentType="text/plain",
        responseTopic="answer/here",
        correlationData="MTc=",
        messageExpiry=60,
    )

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert api.edge.published == [
        DeviceMessage(
            "a/é b",
            b"\xff{",
            1,
            True,
            is_text=True,
            content_type="text/plain",
            response_topic="answer/here",
            correlation_data=b"17",
            expires_after=60,
            user_properties=(("a", "1"), ("a", "2"), ("b", "3")),
        )
    ]


async def test_a_retained_message_is_read_through_botocore() -> None:
    api = new_api()
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    api.edge.kept["a/b"] = RetainedMessage("a/b", b"\xffx", 1, at, (("a", "1"), ("a", "2")))

    answer = await call(api, "GetRetainedMessage", topic="a/b")

    assert (answer["topic"], answer["payload"], answer["qos"]) == ("a/b", b"\xffx", 1)
    assert answer["lastModifiedTime"] == int(at.timestamp() * 1000)
    assert json.loads(answer["userProperties"]) == [{"a": "1"}, {"a": "2"}]


INVALID = "InvalidRequestException"


@pytest.mark.parametrize(
    ("name", "parameters", "message", "code"),
    [
        ("DescribeCertificate", {"certificateId": "a/b"}, "Value 'a/b' at 'certificateId'", INVALID),
        (
            "UpdateCertificate",
            {"certificateId": "0" * 64, "newStatus": "FOO"},
            "Member must satisfy enum value set",
            INVALID,
        ),
        ("ListCertificates", {"pageSize": 251}, "less than or equal to 250", INVALID),
        (
            "SearchIndex",
            {"queryString": "lamp"},
            "SearchIndex is not implemented by Thingmint",
            "UnknownOperationException",
        ),
    ],
)
async def test_a_refusal_is_read_by_botocore(name: str, parameters: Parameters, message: str, code: str) -> None:
    answer = await call(new_api(), name, **parameters)

    assert answer["Error"]["Code"] == code
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


@pytest.mark.parametrize("name", [*SERVICE.operation_names, *DATA_SERVICE.operation_names])
def test_a_request_that_botocore_writes_finds_its_operation(name: str) -> None:
    operation = (DATA_SERVICE if name in DATA_SERVICE.operation_names else SERVICE).operation_model(name)

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
