"""Whatever is sent, the answer is AWS-shaped and no failure of the service, which is healthy afterwards."""

import re
import urllib.request
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.client import client_of, create_keys
from tests.support.clients.fuzz import Target, garbage, requests, routes
from tests.support.machine.soak import SOAK, examples
from tests.support.machine.wire import WireAnswer, answers, exchange
from tests.support.services.service import Service, running_service

from thingmint.data_directory.handover import read_credentials
from thingmint.rest.sigv4.signature import Credentials

pytestmark = pytest.mark.soak
# The same requests each time in continuous integration; others each time in a soak run.
FUZZ = settings(
    derandomize=not SOAK,
    database=None,
)
STS = "https://sts.amazonaws.com/doc/2011-06-15/"
PAGES = (b"/healthz", b"/readyz", b"/metrics")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service over plain HTTP, so that the end of a request can be told from the end of a connection."""
    with running_service(tmp_path_factory.mktemp("fuzz") / "data", "--insecure-http", key_reserve=8) as service:
        yield service
        assert_healthy(service)


@pytest.fixture(scope="module")
def target(service: Service) -> Target:
    """What requests are made for."""
    credentials = read_credentials(service.data_dir)
    assert credentials is not None
    return Target(
        host=f"127.0.0.1:{service.endpoints.api_port}",
        region=service.endpoints.region,
        credentials=Credentials(credentials.access_key_id, credentials.secret_access_key, None),
        certificate_id=create_keys(client_of(service)).certificate_id,
        csr_pem=csr_pem("p-256"),
    )


def assert_healthy(service: Service) -> None:
    """Assert that the same process still issues, holds nothing, and has logged no fault of its own."""
    assert service.process.poll() is None
    assert create_keys(client_of(service)).private_key_pem
    service.close_clients()
    with urllib.request.urlopen(f"{service.endpoints.api}/metrics") as answer:
        metrics = answer.read().decode()
    assert re.search(r"^thingmint_requests_in_flight 0\.0$", metrics, re.MULTILINE), metrics
    assert 'error="InternalFailureException"' not in metrics
    assert not [line for line in service.log.splitlines() if '"level":"error"' in line.replace(" ", "")]
    assert "Traceback" not in service.log


def assert_aws_shaped(answer: WireAnswer, sent: bytes) -> None:
    """Assert that the answer is one that an AWS client can read, and that nothing failed in the service."""
    assert 200 <= answer.status < 500, (answer, sent)
    if answer.headers["content-type"].startswith("text/plain"):
        assert answer.status == 200
        assert any(page in sent for page in PAGES), (answer, sent)
        return
    if answer.headers["content-type"] == "text/xml":
        # The security token service answers at ``/`` in AWS's query protocol.
        assert ET.fromstring(answer.body).findtext(f"{{{STS}}}RequestId"), (answer, sent)
        return
    assert answer.headers["content-type"] == "application/json", (answer, sent)
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-amzn-requestid"]), (answer, sent)
    if answer.status >= 400:
        assert re.fullmatch(r"[A-Za-z]+", answer.headers["x-amzn-errortype"]), (answer, sent)
        if answer.body:
            assert isinstance(answer.json["message"], str), (answer, sent)
    elif answer.body:
        assert isinstance(answer.json, dict), (answer, sent)


def check(service: Service, sent: bytes) -> None:
    """Send the bytes and check what comes back."""
    found = answers(
        exchange(service.endpoints.api_port, sent), first_is_bodyless=sent.lstrip(b"\r\n").startswith(b"HEAD ")
    )
    assert found or not sent.strip(b"\r\n"), sent
    for answer in found:
        assert_aws_shaped(answer, sent)


@settings(FUZZ, max_examples=examples(150, 50_000))
@given(data=st.data())
def test_no_request_makes_the_service_fail(service: Service, target: Target, data: st.DataObject) -> None:
    check(service, data.draw(requests(target)))


@settings(FUZZ, max_examples=examples(100, 20_000))
@given(sent=garbage())
def test_nothing_that_is_hardly_http_makes_the_service_fail(service: Service, sent: bytes) -> None:
    check(service, sent)


def test_requests_are_drawn_for_all_operations_of_the_model() -> None:
    assert len(routes()) == 272
