"""Owns what a missing program or service means for a test: skipped for users, failed where all is required."""

import os
import shutil

import pytest


def all_is_required() -> bool:
    """Say whether a test may be skipped for want of something: never in continuous integration."""
    return os.environ.get("THINGMINT_REQUIRE_ALL") == "1"


def require(present: object, reason: str) -> None:
    """Go on if it is present; otherwise skip the test with the reason, or fail it where nothing may be skipped."""
    if present:
        return
    if all_is_required():
        pytest.fail(reason)
    pytest.skip(reason)


def required_program(name: str) -> str:
    """Return the path of the program; skip or fail the test if it is not installed."""
    path = shutil.which(name)
    require(path, f"{name} is not on PATH")
    assert path is not None
    return path
