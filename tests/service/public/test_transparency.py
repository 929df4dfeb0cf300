"""The pages of the log on a real service: who may read them, and what is told to caches."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.support.services.forked import run_thingmint
from tests.support.services.service import Service, running_service

from thingmint.core.transparency.checkpoint import key_of_text, read_checkpoint
from thingmint.data_directory.handover import read_credentials


@dataclass(frozen=True)
class Fetched:
    """An answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def error(self) -> str | None:
        """The name of AWS's error."""
        return self.headers["x-amzn-errortype"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("log") / "data", "--log-origin", "log.example/tests") as running:
        yield running


def fetch(service: Service, path: str, key: Credentials | None = None, method: str = "GET") -> Fetched:
    request = AWSRequest(method=method, url=f"{service.endpoints.api}{path}")
    if key is not None:
        SigV4Auth(key, "iot", service.endpoints.region).add_auth(request)
    context = ssl.create_default_context(cafile=service.endpoints.ca_file)
    prepared = urllib.request.Request(request.url, method=method, headers=dict(request.headers))
    try:
        with urllib.request.urlopen(prepared, context=context) as answer:
            return Fetched(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Fetched(error.code, error.headers, error.read())


def administrator(service: Service) -> Credentials:
    stored = read_credentials(service.data_dir)
    assert stored is not None
    return Credentials(stored.access_key_id, stored.secret_access_key)


def key_with(service: Service, statement: Mapping[str, str], *options: str) -> Credentials:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    command = ("access-key", "create", "--data-dir", str(service.data_dir), "--policy", "-", "--json", *options)
    made = json.loads(run_thingmint(*command, stdin=policy, check=True).stdout)
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"])


def test_the_administrator_reads_a_checkpoint_that_the_key_verifies(service: Service) -> None:
    fetched = fetch(service, "/log/checkpoint", administrator(service))
    assert fetched.status == 200
    assert fetched.headers["content-type"] == "text/plain; charset=utf-8"
    assert fetched.headers["cache-control"] == "private, max-age=1"
    printed = run_thingmint("log", "checkpoint", "--data-dir", str(service.data_dir), "--key", check=True)
    key = key_of_text(printed.stdout)
    assert key.origin == "log.example/tests"
    assert read_checkpoint(fetched.body.decode(), key).head.size >= 0


def test_a_caller_without_a_signature_is_refused(service: Service) -> None:
    fetched = fetch(service, "/log/checkpoint")
    assert (fetched.status, fetched.error) == (403, "MissingAuthenticationTokenException")


def test_the_permission_to_read_the_log_is_enough_and_needed(service: Service) -> None:
    reader = key_with(service, {"Effect": "Allow", "Action": "thingmint:ReadLog", "Resource": "*"}, "--user", "reader")
    assert fetch(service, "/log/checkpoint", reader).status == 200
    assert fetch(service, "/certificates", reader).error == "AccessDeniedException"
    others = key_with(service, {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}, "--user", "other")
    refused = fetch(service, "/log/checkpoint", others)
    assert (refused.status, refused.error) == (403, "AccessDeniedException")
    assert b"thingmint:ReadLog" in refused.body


def test_an_administrator_of_another_account_may_not_read_it(service: Service) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    other = key_with(service, everything, "--account", "111111111111", "--user", "tenant")
    refused = fetch(service, "/log/checkpoint", other)
    assert (refused.status, refused.error) == (403, "AccessDeniedException")


@pytest.mark.parametrize(("path", "status"), [("/log/tile/0/007", 404), ("/log/secret", 400), ("/log", 400)])
def test_other_pages_are_not_there(service: Service, path: str, status: int) -> None:
    assert fetch(service, path, administrator(service)).status == status


def test_only_reading_is_served(service: Service) -> None:
    key = administrator(service)
    assert fetch(service, "/log/checkpoint", key, "DELETE").error == "UnknownOperationException"
    assert fetch(service, "/log/checkpoint", key, "HEAD").body == b""


def test_a_public_log_is_open_and_shared_caches_may_keep_it(tmp_path: Path) -> None:
    with running_service(tmp_path / "data", "--public-log") as service:
        assert fetch(service, "/log/checkpoint").headers["cache-control"] == "public, max-age=1"
        # The administrator's key is the first entry; it has its place within a second.
        fetched = fetch(service, "/log/tile/0/000.p/1")
        while fetched.status == 404:
            fetched = fetch(service, "/log/tile/0/000.p/1")
        assert len(fetched.body) == 32
        assert fetched.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert fetch(service, "/certificates").status == 403
        metrics = fetch(service, "/metrics").body.decode()
        assert "thingmint_log_leaves 1.0" in metrics
        assert "thingmint_log_pass_seconds_count" in metrics


def test_a_number_that_no_tree_has_is_no_page(service: Service) -> None:
    for groups in (7, 1500):
        path = f"/log/tile/0/x001/{'x000/' * groups}000"
        assert fetch(service, path, administrator(service)).error == "UnknownOperationException"
