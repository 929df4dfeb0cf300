"""One profile of Hypothesis holds for the whole suite, so that no test depends on the speed of the machine."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
OF_THE_PROFILE = ("deadline", "suppress_health_check")


def test_no_example_is_timed() -> None:
    profile = settings()
    assert profile.deadline is None
    assert HealthCheck.too_slow in profile.suppress_health_check


def test_no_test_sets_time_limits_or_health_checks_of_its_own() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{node.value.lineno}"
        for path in sorted(sources())
        if path != TESTS / "conftest.py" and any(name in path.read_text() for name in OF_THE_PROFILE)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg in OF_THE_PROFILE
    ]
    assert found == []


def sources() -> Iterator[Path]:
    """Yield the modules of tests."""
    for folder, folders, files in os.walk(TESTS):
        # Others' modules are left out, and not looked for: there are thousands of folders.
        folders[:] = [name for name in folders if name != "node_modules"]
        yield from (Path(folder, name) for name in files if name.endswith(".py"))
