"""Owns how tests call a live service with AWS's SDK for Python: its clients, access keys, refusals and raw requests."""

import functools
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from click.testing import CliRunner
from tests.support.services.service import Service

from thingmint.cli.commands import main as commands

IoT: TypeAlias = Any
"""boto3 makes the class of the client from AWS's model at run time."""

ClientOf: TypeAlias = Callable[..., IoT]
"""What the fixture of this name gives: `Live.client` with the service as first argument, closed after the test."""

_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class AccessKey:
    """An access key as a client holds it; no repr shows what is secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    @property
    def credentials(self) -> Credentials:
        """The key as botocore's signers take it."""
        return Credentials(self.access_key_id, self.secret_access_key, self.session_token)


@dataclass(frozen=True)
class Live:
    """A running service and the database that it stands on: SQLite where no URL is given."""

    service: Service
    database_url: str | None

    @property
    def account(self) -> str:
        """The administrator's account."""
        return self.service.endpoints.account

    @property
    def registration_dir(self) -> Path:
        """The directory of buckets, beside the data directory."""
        return self.service.data_dir.with_name("buckets")

    @property
    def ca_file(self) -> Path:
        """The trust anchor for the service's own certificate."""
        return self.service.data_dir / "ca.pem"

    @property
    def device_ca_file(self) -> Path:
        """What a broker needs to verify devices."""
        return self.service.data_dir / "device-ca.pem"

    @property
    def administrator(self) -> AccessKey:
        """The key of the first start."""
        environment = self.service.environment
        return AccessKey(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])

    @property
    def database_options(self) -> tuple[str, ...]:
        """The flags by which a command finds the data directory and the database."""
        directory = ("--data-dir", str(self.service.data_dir))
        return directory if self.database_url is None else (*directory, "--database-url", self.database_url)

    def create_access_key(self, policy: Mapping[str, object], *options: str) -> AccessKey:
        """Return a new access key that is bound by the policy, made on the command line beside the running service."""
        answer = self.thingmint("access-key", "create", "--policy", "-", "--json", *options, stdin=json.dumps(policy))
        created = json.loads(answer)
        assert created["Version"] == 1
        return AccessKey(created["AccessKeyId"], created["SecretAccessKey"], created.get("SessionToken"))

    def thingmint(self, *command: str, stdin: str = "") -> str:
        """Return what a command prints that works on the service's database.

        It runs in this process, because a new one takes a second, and in a thread of its own, because the driver of a
        browser keeps an event loop in this one.
        """
        clean = {name: None for name in os.environ if name.startswith("THINGMINT_")}
        arguments = [*command, *self.database_options]
        with ThreadPoolExecutor(1) as thread:
            finished = thread.submit(CliRunner().invoke, commands, arguments, input=stdin, env=clean).result()
        assert finished.exit_code == 0, finished.output
        return finished.stdout

    def client(self, key: AccessKey | None = None, service: str = "iot", **settings: object) -> IoT:
        """Return a client that trusts the service's CA; whoever asks closes it."""
        key = key or self.administrator
        client = _session().client(
            service,
            endpoint_url=self.service.endpoints.api,
            verify=str(self.ca_file),
            region_name=self.service.endpoints.region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
            config=Config(**{"connect_timeout": _TIMEOUT_SECONDS, "read_timeout": _TIMEOUT_SECONDS, **settings}),
        )
        client.meta.events.register("after-call", _note_success)
        return client

    def request(self, method: str, path_and_query: str) -> AWSRequest:
        """Return an unsigned request for botocore's signers."""
        return AWSRequest(method=method, url=self.service.endpoints.api + path_and_query)

    def signed(self, method: str, path_and_query: str, key: AccessKey | None = None) -> AWSRequest:
        """Return a request that botocore has signed in its headers."""
        request = self.request(method, path_and_query)
        credentials = (key or self.administrator).credentials
        SigV4Auth(credentials, "iot", self.service.endpoints.region).add_auth(request)
        return request

    def send(self, request: AWSRequest) -> "Answer":
        """Send a request as it is, by the standard library, and return the answer."""
        wire = urllib.request.Request(request.url, method=request.method, headers=dict(request.headers.items()))
        try:
            with urllib.request.build_opener(
                urllib.request.ProxyHandler({}),
                urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca_file)),
            ).open(wire, timeout=_TIMEOUT_SECONDS) as answer:
                return Answer(answer.status, answer.headers, json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, json.loads(error.read()))


@dataclass(frozen=True)
class Answer:
    """A raw answer."""

    status: int
    headers: Message
    body: dict[str, Any]

    @property
    def error_name(self) -> str:
        """AWS's name of the error."""
        return self.headers["x-amzn-ErrorType"]


@dataclass(frozen=True)
class Refusal:
    """What boto3 made of an error answer."""

    name: str
    status: int
    message: str


def refusal_of(call: Callable[..., object], **parameters: object) -> Refusal:
    """Return the error that the call ends in; fail if it succeeds."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    return Refusal(answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"])


def refused(call: Callable[..., object], **parameters: object) -> tuple[str, int]:
    """Return the error's name and the status with which the call is refused."""
    refusal = refusal_of(call, **parameters)
    return refusal.name, refusal.status


def policy(*statements: Mapping[str, object]) -> dict[str, object]:
    """Return an IAM policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(*actions: str, resource: str = "*") -> dict[str, object]:
    """Return a statement that allows the actions."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def deny(*actions: str, resource: str = "*") -> dict[str, object]:
    """Return a statement that denies the actions."""
    return allow(*actions, resource=resource) | {"Effect": "Deny"}


SUCCEEDED: set[str] = set()
"""The operations that were answered with 200 since a test emptied it."""


def _note_success(model: OperationModel, http_response: AWSResponse, **more: object) -> None:
    del more
    if http_response.status_code == HTTPStatus.OK:
        SUCCEEDED.add(model.name)


@functools.cache
def _session() -> boto3.session.Session:
    # One for all: AWS's model of 272 operations takes longer to load than most tests to run.
    return boto3.session.Session()
