"""GetCallerIdentity in AWS's query protocol; botocore reads the answers and the errors of a live service."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from tests.support.clients.aws import AccessKey, Live, deny, policy, refusal_of
from tests.support.services.service import running_service

FORM = "application/x-www-form-urlencoded"
NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service that is not in test mode."""
    with running_service(tmp_path_factory.mktemp("sts") / "data") as service:
        yield Live(service, None)


def signed(
    live: Live, method: str, query: str, body: str = "", content_type: str = FORM, service: str = "sts"
) -> tuple[int, str]:
    """Return status and body of the answer to a signed request to the path of a slash alone."""
    content = body.encode() or None
    headers = {"Content-Type": content_type} if body else {}
    request = AWSRequest(method, live.service.endpoints.api + "/" + query, headers, content)
    SigV4Auth(live.administrator.credentials, service, "us-east-1").add_auth(request)
    wire = urllib.request.Request(request.url, content, dict(request.headers.items()), method=method)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=live.ca_file)),
    )
    try:
        with opener.open(wire) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def code_of(text: str) -> str | None:
    """Return the name of the error in an answer."""
    return ET.fromstring(text).findtext(f"{NAMESPACE}Error/{NAMESPACE}Code")


def test_a_caller_learns_who_it_is(live: Live) -> None:
    client = live.client(service="sts")
    answer = client.get_caller_identity()
    client.close()
    assert (answer["Account"], answer["Arn"]) == (live.account, f"arn:aws:iam::{live.account}:user/administrator")
    assert answer["UserId"].startswith("AIDA")
    assert answer["ResponseMetadata"]["RequestId"]


def test_no_permission_is_needed(live: Live) -> None:
    key = live.create_access_key(policy(deny("*")), "--user", "nobody")
    client = live.client(key, service="sts")
    assert client.get_caller_identity()["Arn"].endswith(":user/nobody")
    client.close()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (AccessKey("AKIAIOSFODNN7EXAMPLE", "x"), "InvalidClientTokenId"),
        (None, "SignatureDoesNotMatch"),
        # Accounts are access keys in test mode only.
        (AccessKey("111111111111", "test"), "InvalidClientTokenId"),
    ],
)
def test_errors_have_the_names_of_the_security_token_service(live: Live, key: AccessKey | None, name: str) -> None:
    client = live.client(key or replace(live.administrator, secret_access_key="another"), service="sts")
    refused = refusal_of(client.get_caller_identity)
    client.close()
    assert (refused.name, refused.status) == (name, 403)


def test_a_signature_for_another_service_is_refused(live: Live) -> None:
    status, text = signed(live, "GET", "?Action=GetCallerIdentity&Version=2011-06-15", service="iot")
    assert (status, code_of(text)) == (403, "SignatureDoesNotMatch")


def test_other_operations_are_named_as_not_implemented(live: Live) -> None:
    client = live.client(service="sts")
    assert refusal_of(client.get_session_token).name == "InvalidAction"
    client.close()


def test_the_query_protocol_works_by_get_too(live: Live) -> None:
    status, text = signed(live, "GET", "?Action=GetCallerIdentity&Version=2011-06-15")
    assert status == 200
    assert f"<Account>{live.account}</Account>" in text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("Action=<script>", 400, "InvalidAction"),
        ("Version=2011-06-15", 400, "InvalidAction"),
        ("&".join(["a=b"] * 200), 400, "ValidationError"),
        ("A" * 70_000, 413, "RequestEntityTooLargeException"),
    ],
)
def test_bad_requests_get_an_error_in_xml(live: Live, body: str, status: int, code: str) -> None:
    answered, text = signed(live, "POST", "", body)
    assert (answered, code_of(text)) == (status, code)
    assert "<script>" not in text


def test_what_is_no_query_request_is_answered_by_the_api(live: Live) -> None:
    assert "UnknownOperationException" in signed(live, "GET", "")[1]
    assert "UnknownOperationException" in signed(live, "POST", "", "{}", "application/x-amz-json-1.0")[1]
    assert "UnknownOperationException" in signed(live, "PUT", "", "Action=GetCallerIdentity")[1]


def test_the_controls_of_the_test_mode_are_not_there_without_it(live: Live) -> None:
    for path in ("clock", "reset", "seed"):
        assert live.send(live.signed("POST", f"/thingmint/test/{path}")).error_name == "UnknownOperationException"
