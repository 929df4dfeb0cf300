"""AWS's SDK for JavaScript, installed from npm as it is, calls a live service over HTTPS."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT, Live
from tests.support.clients.npm import node_with

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node.js, with the SDK installed beside the script."""
    return node_with("@aws-sdk/client-iot", HERE, "--ignore-scripts")


@pytest.fixture(scope="module")
def seen(node: str, live_on_sqlite: Live) -> dict[str, Any]:
    """What the SDK made of the answers."""
    finished = subprocess.run(
        [node, str(HERE / "javascript.mjs")],
        env=live_on_sqlite.service.environment | {"CSR_PEM": csr_pem("p-384")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    answers: dict[str, Any] = json.loads(finished.stdout)
    return answers


def test_the_sdk_creates_and_describes(seen: dict[str, Any]) -> None:
    assert seen["created"]["certificateArn"].endswith(f":cert/{seen['created']['certificateId']}")
    assert seen["created"]["keyPair"]["PrivateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert (seen["statusAtFirst"], seen["statusFromRequest"]) == ("ACTIVE", "INACTIVE")


def test_the_sdk_reads_timestamps_as_dates(seen: dict[str, Any]) -> None:
    created_at, not_after = seen["dates"]

    assert created_at.endswith("Z")
    assert not_after == "2049-12-31T23:59:59.000Z"


def test_the_sdks_paginator_walks_all_pages(seen: dict[str, Any]) -> None:
    assert len(set(seen["listed"])) == len(seen["listed"])
    assert {seen["created"]["certificateId"], seen["fromRequest"]} <= set(seen["listed"])
    assert seen["pages"] == (len(seen["listed"]) + 1) // 2


def test_the_sdk_updates_and_deletes(seen: dict[str, Any], live_on_sqlite: Live) -> None:
    client: IoT = live_on_sqlite.client()

    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_certificate(certificateId=seen["created"]["certificateId"])
    client.close()
    assert seen["statusAfterUpdate"] == "INACTIVE"


def test_the_sdk_reads_the_rest(seen: dict[str, Any]) -> None:
    assert seen["tags"] == []
    assert seen["endpoint"].partition(":")[0] == "localhost"


@pytest.mark.parametrize(
    ("case", "name", "status"),
    [
        ("activeCannotBeDeleted", "CertificateStateException", 406),
        ("gone", "ResourceNotFoundException", 404),
        ("shortId", "InvalidRequestException", 400),
        ("absent", "UnknownOperationException", 400),
        ("wrongSecret", "InvalidSignatureException", 403),
    ],
)
def test_refusals_are_instances_of_the_sdks_classes(seen: dict[str, Any], case: str, name: str, status: int) -> None:
    refusal = seen[case]

    assert (refusal["name"], refusal["status"]) == (name, status)
    assert refusal["isOfItsClass"]
    assert refusal["hasRequestId"]
    assert refusal["message"]


def test_without_the_trust_anchor_the_sdk_refuses_the_service(node: str, live_on_sqlite: Live) -> None:
    environment = live_on_sqlite.service.environment
    del environment["NODE_EXTRA_CA_CERTS"]

    finished = subprocess.run(
        [node, str(HERE / "javascript.mjs")],
        env=environment | {"CSR_PEM": "", "AWS_MAX_ATTEMPTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode != 0
    assert "certificate" in finished.stderr
