"""The declared bounds of dependencies are of the form that `make lower-bounds` installs and tries."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tools.lower_bounds import exact

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]


def test_every_dependency_is_printed_at_its_lower_bound() -> None:
    printed = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "lower_bounds.py")], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(printed) == len(DEPENDENCIES)
    for line, declared in zip(printed, DEPENDENCIES, strict=True):
        name, version = line.split("==")
        assert declared.startswith(f"{name}>={version}")


@pytest.mark.parametrize("declared", ["click", "click<9", "click==8.1", "click>8", "click ~= 8.1", "click>=8; extra"])
def test_a_dependency_without_a_lower_bound_is_refused(declared: str) -> None:
    with pytest.raises(ValueError, match="no lower bound"):
        list(exact([declared]))


def test_bounds_may_have_extras_and_an_end() -> None:
    assert list(exact(["httptools[test] >= 0.6.4, < 0.10", "click>=8.1"])) == ["httptools==0.6.4", "click==8.1"]


def test_continuous_integration_tries_the_lower_bounds() -> None:
    assert "make lower-bounds" in (ROOT / ".ci" / "run").read_text()
