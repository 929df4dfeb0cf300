"""Owns the installation of packages from npm beside the scripts that use them, by one test process at a time."""

import fcntl
import json
import subprocess
from pathlib import Path

from tests.support.machine.required import require, required_program

_OPTIONS = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")


def node_with(package: str, folder: Path, *options: str) -> str:
    """Return the path of Node.js, with the folder's packages installed; skip or fail where that cannot be had.

    ``package`` is the dependency in package.json whose version tells whether they are.
    """
    path = required_program("node")
    # The processes of one test run take turns. The lock goes with the file's descriptor.
    with (folder / "package.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if _installed_version(package, folder) != json.load(held)["dependencies"][package]:
            command = [required_program("npm"), "install", *_OPTIONS, *options]
            finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            require(finished.returncode == 0, f"npm cannot install {package}: {finished.stderr}")
    return path


def _installed_version(package: str, folder: Path) -> str | None:
    # npm writes this file when everything else is there: an installation that was interrupted has none.
    installed = folder / "node_modules" / ".package-lock.json"
    if not installed.exists():
        return None
    found = json.loads(installed.read_text())["packages"].get(f"node_modules/{package}", {})
    return str(found.get("version"))
