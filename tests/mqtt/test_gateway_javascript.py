"""AWS's device SDK for JavaScript, installed from npm as it is. It offers AWS's ALPN name on every port."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.support.device_gateway import live_gateway
from tests.support.required import require, required_program

HERE = Path(__file__).parent / "javascript"
SDK = "aws-iot-device-sdk-v2"
SECONDS = 300


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node.js, with the SDK installed beside the script."""
    path = required_program("node")
    if installed_version() != wanted_version():
        npm = required_program("npm")
        options = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
        finished = subprocess.run([npm, "install", *options], cwd=HERE, capture_output=True, text=True, check=False)
        require(finished.returncode == 0, f"npm cannot install AWS's device SDK: {finished.stderr}")
    return path


def wanted_version() -> str:
    return str(json.loads((HERE / "package.json").read_text())["dependencies"][SDK])


def installed_version() -> str | None:
    package = HERE / "node_modules" / SDK / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else None


def test_both_clients_of_the_sdk_get_a_certificate(node: str, tmp_path: Path) -> None:
    with live_gateway(tmp_path) as live:
        live.fleet.provisioned = lambda _identity: None
        certificate, key = live.register().files(tmp_path)

        finished = subprocess.run(
            [node, HERE / "provision.mjs", str(live.port), live.ca_file(), certificate, key],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

        assert finished.returncode == 0, finished.stderr
        answers = json.loads(finished.stdout)
        assert [answer["certificateId"] for answer in answers] == list(live.fleet.identities)
        assert all(answer["privateKey"].startswith("-----BEGIN EC PRIVATE KEY-----") for answer in answers)
