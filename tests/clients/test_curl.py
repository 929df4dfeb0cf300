"""curl signs requests itself: no SDK, no body, no Content-Length."""

import json
import subprocess
from typing import Any

import pytest
from tests.support.clients.aws import AccessKey, Live
from tests.support.machine.required import require, required_program


@pytest.fixture(scope="module")
def curl() -> str:
    """A curl that can sign."""
    path = required_program("curl")
    text = subprocess.run([path, "--help", "all"], check=True, capture_output=True, text=True).stdout
    require("--aws-sigv4" in text, "curl is older than 7.75 and cannot sign")
    return path


def call(
    curl: str, live: Live, path: str, *options: str, key: AccessKey | None = None
) -> tuple[int, str, dict[str, Any]]:
    """Return status, error name and body of a signed call; the key is given where no process list shows it."""
    key = key or live.administrator
    command = [
        *(curl, "--silent", "--show-error", "--config", "-", "--aws-sigv4", "aws:amz:us-east-1:iot"),
        *("--cacert", str(live.ca_file), "--write-out", "\n%{http_code}\n%header{x-amzn-errortype}"),
        *options,
        live.service.endpoints.api + path,
    ]
    user = f'user = "{key.access_key_id}:{key.secret_access_key}"\n'
    finished = subprocess.run(command, input=user, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    body, status, error_name = finished.stdout.rsplit("\n", 2)
    return int(status), error_name, json.loads(body)


@pytest.mark.parametrize(("query", "status"), [("", "INACTIVE"), ("?setAsActive=true", "ACTIVE")])
def test_a_post_without_a_body_creates_a_certificate(curl: str, live: Live, query: str, status: str) -> None:
    code, _, created = call(curl, live, f"/keys-and-certificate{query}", "--request", "POST")
    assert code == 200
    assert created["keyPair"]["PrivateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")

    code, _, described = call(curl, live, f"/certificates/{created['certificateId']}")

    assert (code, described["certificateDescription"]["status"]) == (200, status)


def test_timestamps_are_numbers_of_seconds(curl: str, live: Live) -> None:
    _, _, created = call(curl, live, "/keys-and-certificate", "--request", "POST")

    _, _, described = call(curl, live, f"/certificates/{created['certificateId']}")

    validity = described["certificateDescription"]["validity"]
    assert validity["notAfter"] == 2524607999
    assert isinstance(described["certificateDescription"]["creationDate"], (int, float))
    assert 119 <= described["certificateDescription"]["creationDate"] - validity["notBefore"] < 122


def test_put_and_delete_answer_with_an_empty_object(curl: str, live: Live) -> None:
    _, _, created = call(curl, live, "/keys-and-certificate", "--request", "POST")
    path = f"/certificates/{created['certificateId']}"

    assert call(curl, live, f"{path}?newStatus=REVOKED", "--request", "PUT") == (200, "", {})
    assert call(curl, live, path, "--request", "DELETE") == (200, "", {})


def test_a_bad_secret_is_refused(curl: str, live: Live) -> None:
    key = AccessKey(live.administrator.access_key_id, "wrong")

    status, name, body = call(curl, live, "/keys-and-certificate", "--request", "POST", key=key)

    assert (status, name) == (403, "InvalidSignatureException")
    assert body["message"].startswith("The request signature we calculated does not match")


@pytest.mark.parametrize("value", ["maybe", "1", ""])
def test_garbage_in_a_flag_is_refused(curl: str, live: Live, value: str) -> None:
    status, name, body = call(curl, live, f"/keys-and-certificate?setAsActive={value}", "--request", "POST")

    assert (status, name) == (400, "InvalidRequestException")
    assert "setAsActive" in body["message"]
