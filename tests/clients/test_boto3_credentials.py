"""Who is calling: wrong secrets, temporary credentials, clocks that are off, presigned URLs."""

import contextlib
import datetime as dt
import secrets
import sqlite3
import subprocess
from dataclasses import replace

import botocore.auth
import pytest
from botocore.auth import SigV4QueryAuth
from tests.support.clients.aws import AccessKey, ClientOf, IoT, Live, allow, policy, refusal_of
from tests.support.machine.required import required_program

UNKNOWN = "The security token included in the request is invalid."
MISMATCH = "The request signature we calculated does not match the signature you provided."
LONG_AGO = 1_000_000


@pytest.fixture(scope="module")
def temporary(live: Live) -> AccessKey:
    """Temporary credentials that are valid for longer than the tests run."""
    return live.create_access_key(policy(allow("iot:Describe*")), "--expires-in", "3600")


def expire(live: Live, key: AccessKey) -> None:
    """Let the credentials have expired long ago; nobody should have to wait for it."""
    statement = f"UPDATE access_key SET expires_at = {LONG_AGO} WHERE access_key_id = '{key.access_key_id}'"
    if live.database_url is None:
        with contextlib.closing(sqlite3.connect(live.service.data_dir / "thingmint.sqlite")) as database, database:
            assert database.execute(statement).rowcount == 1
        return
    command = [required_program("psql"), "--quiet", "--set=ON_ERROR_STOP=1", live.database_url, "--command", statement]
    subprocess.run(command, check=True, capture_output=True)


def test_a_wrong_secret_is_a_wrong_signature(live: Live, client_of: ClientOf) -> None:
    key = replace(live.administrator, secret_access_key=secrets.token_urlsafe(30))

    refusal = refusal_of(client_of(live, key).describe_endpoint)

    assert (refusal.name, refusal.status) == ("InvalidSignatureException", 403)
    assert refusal.message.startswith(MISMATCH)


def test_an_unknown_key_is_an_unrecognized_client(live: Live, client_of: ClientOf) -> None:
    key = replace(live.administrator, access_key_id="AKIAIOSFODNN7EXAMPLE")

    refusal = refusal_of(client_of(live, key).describe_endpoint)

    assert (refusal.name, refusal.status, refusal.message) == ("UnrecognizedClientException", 403, UNKNOWN)


def test_temporary_credentials_have_a_token_and_work(live: Live, client_of: ClientOf, temporary: AccessKey) -> None:
    assert temporary.session_token
    assert temporary.access_key_id.startswith("ASIA")
    assert client_of(live, temporary).describe_endpoint()["endpointAddress"]


@pytest.mark.parametrize("token", [None, "not-the-token"])
def test_temporary_credentials_without_their_token_are_unknown(
    live: Live, client_of: ClientOf, temporary: AccessKey, token: str | None
) -> None:
    refusal = refusal_of(client_of(live, replace(temporary, session_token=token)).describe_endpoint)

    assert (refusal.name, refusal.status, refusal.message) == ("UnrecognizedClientException", 403, UNKNOWN)


def test_a_token_of_other_credentials_is_unknown(live: Live, client_of: ClientOf, temporary: AccessKey) -> None:
    other = live.create_access_key(policy(allow("iot:Describe*")), "--expires-in", "3600")

    refusal = refusal_of(client_of(live, replace(temporary, session_token=other.session_token)).describe_endpoint)

    assert (refusal.name, refusal.status) == ("UnrecognizedClientException", 403)


def test_expired_credentials_are_refused_as_expired(live: Live, client_of: ClientOf) -> None:
    key = live.create_access_key(policy(allow("iot:*")), "--expires-in", "3600")
    expire(live, key)

    refusal = refusal_of(client_of(live, key).describe_endpoint)

    assert (refusal.name, refusal.status) == ("ExpiredTokenException", 403)
    assert refusal.message == "The security token included in the request is expired"


@pytest.mark.parametrize(
    ("minutes", "text"), [(-10, "Signature expired: "), (10, "Signature not yet current: "), (-4, None), (4, None)]
)
def test_a_clock_may_be_off_by_five_minutes_and_no_more(
    iot: IoT, monkeypatch: pytest.MonkeyPatch, minutes: int, text: str | None
) -> None:
    # Where awscrt is installed, botocore signs with it, and asks it for the time.
    monkeypatch.setitem(botocore.auth.AUTH_TYPE_MAPS, "v4", botocore.auth.SigV4Auth)
    skew = dt.timedelta(minutes=minutes)
    true_time = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *arguments: true_time(*arguments) + skew)

    if text is None:
        assert iot.describe_endpoint()["endpointAddress"]
    else:
        refusal = refusal_of(iot.describe_endpoint)
        assert (refusal.name, refusal.status) == ("InvalidSignatureException", 403)
        assert refusal.message.startswith(text)


@pytest.mark.parametrize(("service", "region"), [("s3", "us-east-1"), ("iot", "eu-central-1")])
def test_a_signature_for_another_service_or_region_is_refused(live: Live, service: str, region: str) -> None:
    request = live.request("GET", "/endpoint")
    botocore.auth.SigV4Auth(live.administrator.credentials, service, region).add_auth(request)

    answer = live.send(request)

    assert (answer.status, answer.error_name) == (403, "InvalidSignatureException")
    assert answer.body["message"].startswith("Credential should be scoped to")


def test_a_request_without_a_signature_is_refused(live: Live) -> None:
    answer = live.send(live.request("GET", "/endpoint"))

    assert (answer.status, answer.error_name) == (403, "MissingAuthenticationTokenException")
    assert answer.body["message"] == "Missing Authentication Token"


@pytest.mark.parametrize("use_temporary", [False, True])
def test_a_presigned_url_works_without_any_header(live: Live, temporary: AccessKey, use_temporary: bool) -> None:
    request = live.request("GET", "/endpoint?endpointType=iot%3AData-ATS")
    credentials = (temporary if use_temporary else live.administrator).credentials
    SigV4QueryAuth(credentials, "iot", "us-east-1", expires=60).add_auth(request)
    assert "Authorization" not in request.headers

    answer = live.send(request)

    assert answer.status == 200
    assert answer.body["endpointAddress"]


def test_a_presigned_url_is_good_for_its_own_query_only(live: Live) -> None:
    request = live.request("POST", "/keys-and-certificate?setAsActive=false")
    SigV4QueryAuth(live.administrator.credentials, "iot", "us-east-1", expires=60).add_auth(request)
    request.url = request.url.replace("setAsActive=false", "setAsActive=true")

    answer = live.send(request)

    assert (answer.status, answer.error_name) == (403, "InvalidSignatureException")
    assert answer.body["message"].startswith(MISMATCH)


def test_a_presigned_url_ends_with_its_time(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    request = live.request("GET", "/endpoint")
    minute_ago = botocore.auth.get_current_datetime() - dt.timedelta(seconds=60)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: minute_ago)
    SigV4QueryAuth(live.administrator.credentials, "iot", "us-east-1", expires=30).add_auth(request)

    answer = live.send(request)

    assert (answer.status, answer.error_name) == (403, "InvalidSignatureException")
    assert answer.body["message"].startswith("Signature expired: ")
