"""One profile of Hypothesis holds for the whole suite, so that no test depends on the speed of the machine."""

import ast
from pathlib import Path

from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent


def test_no_example_is_timed() -> None:
    profile = settings()
    assert profile.deadline is None
    assert HealthCheck.too_slow in profile.suppress_health_check


def test_no_test_sets_time_limits_or_health_checks_of_its_own() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{node.value.lineno}"
        for path in sorted(TESTS.rglob("*.py"))
        if path != TESTS / "conftest.py" and "node_modules" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg in ("deadline", "suppress_health_check")
    ]
    assert found == []
