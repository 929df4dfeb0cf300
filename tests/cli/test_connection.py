"""How the command line finds a service and calls it, against a server that answers what the test wants."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from thingmint.cli.connection import Connection, ServiceRefused, ServiceUnreachable, SignedClient, find_connection
from thingmint.cli.issuing.registrar import HttpsRegistrar, file_sha256
from thingmint.data_directory.handover import Endpoints, OperatorCredentials, write_credentials, write_endpoints

ENVIRONMENT = {
    "AWS_ENDPOINT_URL_IOT": "https://localhost:8443",
    "AWS_CA_BUNDLE": "ca.pem",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
    "AWS_SESSION_TOKEN": "token",
}


@dataclass
class Scripted:
    """What the server answers next, and what it was asked."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    stuck: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """Let the server answer so."""
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, body))


@pytest.fixture
def scripted() -> Scripted:
    """The script of the server."""
    return Scripted()


@pytest.fixture
def client(scripted: Scripted) -> Iterator[SignedClient]:
    """A client of a server that follows the script."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            assert self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            scripted.asked.append(f"{self.command} {self.path}")
            if not scripted.answers:
                scripted.stuck.set()
                scripted.release.wait()
                self.close_connection = True
                return
            status, headers, body = scripted.answers.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  as http.server finds them

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    with contextlib.closing(
        SignedClient(find_connection(Path(), {**ENVIRONMENT, "AWS_ENDPOINT_URL_IOT": endpoint}))
    ) as (client):
        yield client
    scripted.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_answer_is_decoded(client: SignedClient, scripted: Scripted) -> None:
    scripted.answer(200, b'{"a": 1}')
    assert client.call("GET", "/certificates", {"pageSize": "2", "marker": "a b/+="}) == {"a": 1}
    assert scripted.asked == ["GET /certificates?pageSize=2&marker=a%20b%2F%2B%3D"]
    scripted.answer(200, b"")
    assert client.call("DELETE", "/certificates/x", {}) == {}


def test_refusal_carries_aws_name_and_when_to_try_again(client: SignedClient, scripted: Scripted) -> None:
    scripted.answer(400, b'{"message": "Rate exceeded"}', x_amzn_ErrorType="ThrottlingException", Retry_After="0.25")
    with pytest.raises(ServiceRefused, match="ThrottlingException: Rate exceeded") as caught:
        client.call("GET", "/certificates", {})
    assert (caught.value.status, caught.value.name, caught.value.retry_after) == (400, "ThrottlingException", 0.25)
    scripted.answer(502, b"{}", Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")
    with pytest.raises(ServiceRefused, match="UnknownError") as caught:
        client.call("GET", "/certificates", {})
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"\xff"])
def test_what_is_no_answer_of_the_service_counts_as_none(client: SignedClient, scripted: Scripted, body: bytes) -> None:
    scripted.answer(200, body)
    with pytest.raises(ServiceUnreachable, match="JSON"):
        client.call("GET", "/certificates", {})


def test_connection_that_ends_unanswered_is_replaced(client: SignedClient, scripted: Scripted) -> None:
    scripted.release.set()
    with pytest.raises(ServiceUnreachable):
        client.call("GET", "/certificates", {})
    scripted.answer(200, b"{}")
    assert client.call("GET", "/certificates", {}) == {}


def test_closing_ends_a_call_of_another_thread(client: SignedClient, scripted: Scripted) -> None:
    outcomes: list[BaseException] = []

    def call() -> None:
        try:
            client.call("GET", "/certificates", {})
        except ServiceUnreachable as error:
            outcomes.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    scripted.stuck.wait()
    client.close()
    thread.join()
    assert len(outcomes) == 1


async def test_registrar_takes_an_answer_without_a_certificate_for_none(
    client: SignedClient, scripted: Scripted
) -> None:
    registrar = HttpsRegistrar(client, None)
    assert registrar.trust_anchor_sha256 is None
    for body in (b"{}", b'{"certificateArn": "a", "certificatePem": "junk"}'):
        scripted.answer(200, body)
        with pytest.raises(ServiceUnreachable, match="holds no certificate"):
            await registrar.issue("csr", active=True)
    for body in (b"{}", b'{"certificateDescription": 1}'):
        scripted.answer(200, body)
        with pytest.raises(ServiceUnreachable, match="holds no certificate"):
            await registrar.find("ab")


async def test_registrar_tells_what_is_not_there_from_what_is_refused(client: SignedClient, scripted: Scripted) -> None:
    registrar = HttpsRegistrar(client, "ab" * 32)
    assert registrar.trust_anchor_sha256 == "ab" * 32
    gone = {"x_amzn_ErrorType": "ResourceNotFoundException"}
    scripted.answer(404, b"{}", **gone)
    assert await registrar.find("ab") is None
    scripted.answer(200, b"{}")
    scripted.answer(404, b"{}", **gone)
    await registrar.discard("ab")
    assert scripted.asked[-2:] == ["PUT /certificates/ab?newStatus=INACTIVE", "DELETE /certificates/ab"]
    for call in (registrar.find, registrar.discard):
        scripted.answer(403, b"{}", x_amzn_ErrorType="AccessDeniedException")
        with pytest.raises(ServiceRefused, match="AccessDeniedException"):
            await call("ab")


async def test_registrar_lists_page_after_page(client: SignedClient, scripted: Scripted) -> None:
    scripted.answer(200, b'{"certificates": [{"certificateId": "b"}], "nextMarker": "m=="}')
    scripted.answer(200, b'{"certificates": [{"certificateId": "a"}]}')
    assert [found async for found in HttpsRegistrar(client, None).newest_first()] == ["b", "a"]
    assert scripted.asked[1].endswith("&marker=m%3D%3D")
    scripted.answer(200, b"{}")
    assert [found async for found in HttpsRegistrar(client, None).newest_first()] == []


def test_variables_of_aws_tools_name_the_service(tmp_path: Path) -> None:
    found = find_connection(tmp_path, ENVIRONMENT)
    assert found == Connection("https://localhost:8443", "ca.pem", "eu-west-1", "AKIDEXAMPLE", "wJalrXUtnFEMI", "token")
    assert "wJalrXUtnFEMI" not in repr(found)
    assert "token" not in repr(found).removesuffix(")").split("=")[-1]
    without_region = {name: value for name, value in ENVIRONMENT.items() if name != "AWS_REGION"}
    assert find_connection(tmp_path, {**without_region, "AWS_DEFAULT_REGION": "us-east-2"}).region == "us-east-2"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"])
def test_missing_variable_is_named(tmp_path: Path, name: str) -> None:
    rest = {each: value for each, value in ENVIRONMENT.items() if each != name}
    with pytest.raises(LookupError, match=f"AWS_ENDPOINT_URL_IOT is set, but {name} is not"):
        find_connection(tmp_path, rest)


def test_data_directory_names_the_service(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no service is running on"):
        find_connection(tmp_path, {})
    write_credentials(tmp_path, OperatorCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI"))
    with pytest.raises(LookupError, match="no service is running on"):
        find_connection(tmp_path, {})
    write_endpoints(
        tmp_path, Endpoints("https://127.0.0.1:1", 1, "127.0.0.1:2", 2, "ca.pem", "000000000000", "us-east-1", 1)
    )
    assert find_connection(tmp_path, {}).endpoint == "https://127.0.0.1:1"


@pytest.mark.parametrize("endpoint", ["ftp://localhost", "localhost:8443", "https://", ""])
def test_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(LookupError, match="must be an http or https URL"):
        SignedClient(Connection(endpoint, None, "us-east-1", "AKIDEXAMPLE", "secret", None))


def test_file_is_told_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"")
    assert file_sha256(tmp_path / "ca.pem") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert file_sha256(None) is None
