"""Every operation, asked wrongly in every way that AWS's model knows: refused in its words, changing nothing."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import botocore.session
import pytest
from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.model import OperationModel, ServiceModel, Shape
from tests.support.clients.aws import IoT, Live
from tests.support.clients.bad_requests import Draft, bad_requests, hostile_requests, sample, sample_request
from tests.support.databases.database import Tables, tables_of
from tests.support.databases.postgresql import new_database
from tests.support.services.service import running_service

from thingmint.api.service import OPERATIONS as TABLE
from thingmint.api.wire.planes import Plane

SERVICE = ServiceModel(
    botocore.session.get_session().get_component("data_loader").load_service_model("iot", "service-2"), "iot"
)
OPERATIONS = sorted(operation.name for operation in TABLE if operation.plane is Plane.CONTROL)
# What the model gives to no operation, because the front end says it before the operation is asked.
FRONT_END = {"InvalidRequestException", "UnknownOperationException", "RequestEntityTooLargeException"}
NOTHING_TO_GET_WRONG = {"DeleteRegistrationCode", "GetRegistrationCode", "DescribeEventConfigurations"}

# What follows every change that was made before: leaves of the log, its terms, the feed of changes, revocation lists.
WRITTEN_BY_ITSELF = {
    "log_state",
    "log_tile",
    "log_bundle",
    "log_gap",
    "audit_term",
    "registry_change",
    "node",
    "node_message",
    "node_connection",
    "client_ending",
    "revocation_list",
    "revocation_list_lease",
}
DEEP = 200_000
NO_OBJECTS = (
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b"[" * DEEP + b"]" * DEEP,
    b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    b'{"a": NaN}',
)


def no_texts(member: str) -> Iterator[bytes]:
    """Yield objects whose member is no text, as bytes that a JSON library would not write."""
    for value in (rb'"\ud800"', b'"\xff"', b'"\x00"', b"1e999", b"-", b'"a" "b"'):
        yield b'{"' + member.encode() + b'": ' + value + b"}"


@dataclass(frozen=True)
class Answer:
    """What the service made of a request."""

    status: int
    error: str | None
    body: bytes


class Peer:
    """A client that writes any bytes, signed, over one connection."""

    def __init__(self, live: Live) -> None:
        self._live = live
        # It is read from a file each time.
        self._credentials = live.administrator.credentials
        host, port = live.service.endpoints.api.removeprefix("https://").split(":")
        context = ssl.create_default_context(cafile=str(live.ca_file))
        self.connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Return the answer to the request."""
        request = AWSRequest(method, self._live.service.endpoints.api + path, data=body, headers=headers)
        SigV4Auth(self._credentials, "iot", self._live.service.endpoints.region).add_auth(request)
        try:
            self.connection.request(method, path, body=body, headers=dict(request.headers.items()))
            answer = self.connection.getresponse()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise
        return Answer(answer.status, answer.headers["x-amzn-ErrorType"], answer.read())

    def ask(self, draft: Draft) -> Answer:
        """Return the answer to the drafted request."""
        headers = {name: str(value) for name, value in draft.headers.items()}
        return self.send(draft.operation.http["method"], draft.path, draft.content, headers)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service that nobody else asks, so that whatever changes was changed by the request."""
    folder = tmp_path_factory.mktemp("registry")
    urls: Iterator[str | None] = iter([None])
    if request.param == "postgresql":
        urls = iter(new_database(request.getfixturevalue("postgresql_server_url")))
    (folder / "buckets").mkdir()
    for url in urls:
        database = () if url is None else ("--database-url", url)
        flags = ("--registration-dir", str(folder / "buckets"), *database)
        with running_service(folder / "data", *flags) as service:
            yield Live(service, url)


@pytest.fixture(scope="module")
def peer(registry: Live) -> Iterator[Peer]:
    """The client."""
    peer = Peer(registry)
    with closing(peer.connection):
        yield peer


@pytest.fixture(scope="module")
def sdk(registry: Live) -> Iterator[IoT]:
    """AWS's SDK without the checks that would keep most bad requests from being sent."""
    client = registry.client(parameter_validation=False, retries={"total_max_attempts": 1})
    with closing(client):
        yield client


def stored(live: Live) -> Tables:
    """Return all that is stored, but for what the service writes by itself, whether or not anything is asked of it."""
    tables = tables_of(live.service.data_dir, live.database_url)
    return {name: rows for name, rows in tables.items() if name not in WRITTEN_BY_ITSELF}


def complaint(answer: Answer, operation: OperationModel) -> str | None:
    """Return what is wrong with a refusal: that it is none, or not one that the model knows."""
    modelled = {shape.name for shape in operation.error_shapes} | FRONT_END
    if not 400 <= answer.status < 500:
        return f"{answer.status} {answer.body[:200]!r}"
    if answer.error not in modelled:
        return f"{answer.error} is not among the operation's errors: {answer.body[:200]!r}"
    members = json.loads(answer.body)
    if members.get("__type") != answer.error or not members.get("message"):
        return f"not in AWS's shape: {answer.body[:200]!r}"
    return None


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_breaks_the_model_is_refused_and_changes_nothing(name: str, peer: Peer, registry: Live) -> None:
    operation, before = SERVICE.operation_model(name), stored(registry)

    complaints = [
        (what, found)
        for what, draft in bad_requests(operation)
        if (found := complaint(peer.ask(draft), operation)) is not None
    ]

    assert complaints == []
    assert stored(registry) == before


def test_there_is_something_wrong_with_each_operation_that_takes_anything() -> None:
    asked = {name: sum(1 for _ in bad_requests(SERVICE.operation_model(name))) for name in OPERATIONS}

    assert {name for name, count in asked.items() if count == 0} == NOTHING_TO_GET_WRONG
    assert sum(asked.values()) > 2000


@pytest.mark.engines
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_does_not_exist_is_answered_in_the_models_words(name: str, peer: Peer) -> None:
    operation = SERVICE.operation_model(name)

    answers = [peer.ask(sample_request(operation, optional=optional)) for optional in (False, True)]

    assert [answer for answer in answers if answer.status != 200 and complaint(answer, operation)] == []


@pytest.mark.engines
@pytest.mark.parametrize("name", OPERATIONS)
def test_hostile_text_hurts_nobody(name: str, peer: Peer) -> None:
    operation = SERVICE.operation_model(name)

    complaints = [
        (what, found)
        for what, draft in hostile_requests(operation)
        if (answer := peer.ask(draft)).status != 200 and (found := complaint(answer, operation)) is not None
    ]

    assert complaints == []


@pytest.mark.parametrize("name", [name for name in OPERATIONS if sample_request(SERVICE.operation_model(name)).body])
def test_a_body_that_is_no_json_object_is_refused_and_changes_nothing(name: str, peer: Peer, registry: Live) -> None:
    operation, before = SERVICE.operation_model(name), stored(registry)
    draft, member = sample_request(operation), next(iter(sample_request(operation).body))

    answers = [peer.send(operation.http["method"], draft.path, body, {}) for body in (*NO_OBJECTS, *no_texts(member))]

    assert [found for answer in answers if (found := complaint(answer, operation)) is not None] == []
    assert stored(registry) == before


def required_in_path(name: str) -> dict[str, Shape]:
    """Return the members that are required and cannot be left out, because the path would be another's."""
    shape = SERVICE.operation_model(name).input_shape
    required = {} if shape is None else {each: shape.members[each] for each in shape.required_members}
    return {each: member for each, member in required.items() if member.serialization.get("location") == "uri"}


def needs_more_than_its_path(name: str) -> bool:
    """Say whether the operation has a required member that a request can leave out."""
    shape = SERVICE.operation_model(name).input_shape
    return shape is not None and set(shape.required_members) != required_in_path(name).keys()


@pytest.mark.parametrize("name", [name for name in OPERATIONS if needs_more_than_its_path(name)])
def test_the_sdk_raises_the_models_exception_for_what_is_missing(name: str, registry: Live, sdk: IoT) -> None:
    before, in_path = stored(registry), required_in_path(name)

    with pytest.raises(ClientError) as caught:
        getattr(sdk, xform_name(name))(**{each: sample(member) for each, member in in_path.items()})

    # An exception of its own class: what the model knows, AWS's SDK made a class of.
    assert type(caught.value) is sdk.exceptions.InvalidRequestException
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert stored(registry) == before
