"""AWS's device SDK for JavaScript, installed from npm as it is. It offers AWS's ALPN name on every port."""

from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.clients.device_javascript import node_with_sdk, run_script
from tests.support.devices.device_gateway import live_gateway


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node.js, with the SDK installed beside the script."""
    return node_with_sdk()


def test_both_clients_of_the_sdk_get_a_certificate(node: str, tmp_path: Path) -> None:
    with live_gateway(tmp_path) as live:
        live.fleet.provisioned = lambda _identity: None
        certificate, key = live.register().files(tmp_path)

        printed = run_script(node, "provision.mjs", live.port, live.ca_file(), certificate, key)

        answers = cast("list[dict[str, Any]]", printed)
        assert [answer["certificateId"] for answer in answers] == list(live.fleet.identities)
        assert all(answer["privateKey"].startswith("-----BEGIN EC PRIVATE KEY-----") for answer in answers)
