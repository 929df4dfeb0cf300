"""Owns the installation of AWS's device SDK for JavaScript beside the scripts that use it."""

import json
import subprocess
from pathlib import Path

from tests.support.required import require, required_program

SCRIPTS = Path(__file__).parents[1] / "mqtt" / "javascript"
_SDK = "aws-iot-device-sdk-v2"
_SECONDS = 300


def node_with_sdk() -> str:
    """Return the path of Node.js, with the SDK installed; skip or fail the test where that cannot be had."""
    path = required_program("node")
    if _installed_version() != _wanted_version():
        npm = required_program("npm")
        options = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
        finished = subprocess.run([npm, "install", *options], cwd=SCRIPTS, capture_output=True, text=True, check=False)
        require(finished.returncode == 0, f"npm cannot install AWS's device SDK: {finished.stderr}")
    return path


def run_script(node: str, script: str, *arguments: object) -> object:
    """Return what the script prints, which is JSON; fail with what it says if it does not succeed."""
    finished = subprocess.run(
        [node, SCRIPTS / script, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    assert finished.returncode == 0, finished.stderr
    printed: object = json.loads(finished.stdout)
    return printed


def _wanted_version() -> str:
    return str(json.loads((SCRIPTS / "package.json").read_text())["dependencies"][_SDK])


def _installed_version() -> str | None:
    package = SCRIPTS / "node_modules" / _SDK / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else None
