"""Owns the peers' installations: one virtual environment each, made from the package index on first use."""

import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench.children import PROJECT

ENVIRONMENTS = PROJECT / ".bench-venvs"
INSTALL_WITHIN_S = 600


class PeerUnavailable(Exception):
    """A peer cannot be had on this machine; the message says why."""


def installed(name: str, requirements: Sequence[str]) -> Path:
    """Return the peer's directory of programs, installing it if need be; raise PeerUnavailable if that fails."""
    environment = ENVIRONMENTS / name
    complete = environment / "requirements.complete"
    wanted = "\n".join(requirements)
    if not (complete.exists() and complete.read_text() == wanted):
        print(f"installing {name} into {environment} ...", file=sys.stderr)
        ENVIRONMENTS.mkdir(exist_ok=True)
        (ENVIRONMENTS / ".gitignore").write_text("*\n")
        _run([sys.executable, "-m", "venv", "--clear", str(environment)])
        _run([str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements])
        complete.write_text(wanted)
    return environment / "bin"


def version_of(programs: Path, package: str) -> str:
    """Return the version of a package in a peer's environment."""
    (site_packages,) = programs.parent.glob("lib/python*/site-packages")
    (found,) = metadata.distributions(name=package, path=[str(site_packages)])
    return found.version


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_WITHIN_S)
    except subprocess.CalledProcessError as error:
        raise PeerUnavailable(f"{' '.join(command[:4])} failed: {error.stderr.strip()[-300:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailable(f"{' '.join(command[:4])} failed: {error}") from error
