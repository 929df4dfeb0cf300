"""Owns the installation of AWS's device SDK for JavaScript beside the scripts that use it."""

import json
import subprocess
from pathlib import Path

from tests.support.clients.npm import node_with

SCRIPTS = Path(__file__).parents[2] / "mqtt" / "javascript"
_SDK = "aws-iot-device-sdk-v2"
_SECONDS = 300


def node_with_sdk() -> str:
    """Return the path of Node.js, with the SDK installed; skip or fail the test where that cannot be had."""
    return node_with(_SDK, SCRIPTS)


def run_script(node: str, script: str, *arguments: object) -> object:
    """Return what the script prints, which is JSON; fail with what it says if it does not succeed."""
    finished = subprocess.run(
        [node, SCRIPTS / script, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    assert finished.returncode == 0, finished.stderr
    printed: object = json.loads(finished.stdout)
    return printed
