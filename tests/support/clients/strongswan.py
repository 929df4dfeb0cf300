"""Owns how tests run strongSwan's `pki`. Its plug-in for OpenSSL must be installed, because it has ECDSA and ECDHE."""

import subprocess
from functools import cache
from pathlib import Path

from tests.support.machine.required import require, required_program


def pki(command: str, *options: str | Path, is_fine: bool = True) -> tuple[bytes, str]:
    """Return the output of a command of `pki`, and everything that it says; fail unless it ends as expected."""
    finished = _run(command, *options)
    said = finished.stderr.decode()
    assert (finished.returncode == 0) is is_fine, said
    return finished.stdout, said + finished.stdout.decode(errors="replace")


def require_strongswan() -> None:
    """Skip or fail the test if strongSwan is not there, or cannot read ECDSA."""
    required_program("pki")
    require(_has_openssl(), "strongSwan's plug-in for OpenSSL (Debian: libstrongswan-standard-plugins) is missing")


@cache
def _has_openssl() -> bool:
    finished = _run("help")
    loaded = (finished.stdout + finished.stderr).decode().partition("loaded plugins:")[2].partition("\n")[0]
    return "openssl" in loaded.split()


def _run(command: str, *options: str | Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [required_program("pki"), f"--{command}", *map(str, options)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
