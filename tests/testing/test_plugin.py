"""The pytest plug-in as users run it: the example project, in processes of its own, also by pytest-xdist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.machine.own_pytest import WITHOUT_OTHERS

EXAMPLE = Path(__file__).parents[2] / "examples" / "pytest"


def run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run pytest in the folder."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *WITHOUT_OTHERS, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_example_passes_without_fixtures_of_its_own() -> None:
    assert [path.name for path in EXAMPLE.glob("*.py")] == ["test_fleet.py"]
    assert "fixture" not in (EXAMPLE / "test_fleet.py").read_text().partition('"""')[2].partition('"""')[2]
    finished = run(EXAMPLE, "-q")
    assert "8 passed" in finished.stdout, finished.stdout + finished.stderr


def test_each_worker_has_a_service_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('number', range(2))\n"
        "def test_a(thingmint, thingmint_account, worker_id, number):\n"
        f"    with open({str(tmp_path / 'ports')!r}, 'a') as file:\n"
        "        print(worker_id, thingmint.endpoints.api_port, file=file)\n"
        "    assert thingmint.clock.is_right\n"
        "    thingmint.clock.advance(hours=1)\n"
    )
    finished = run(tmp_path, "-q", "-n", "2", "--dist", "each")
    assert "4 passed" in finished.stdout, finished.stdout + finished.stderr
    seen = set((tmp_path / "ports").read_text().splitlines())
    assert len(seen) == len({line.split()[0] for line in seen}) == len({line.split()[1] for line in seen}) == 2


def test_code_under_test_finds_the_account_by_variables(tmp_path: Path) -> None:
    (tmp_path / "test_code.py").write_text(
        "import boto3, os\n"
        "def test_a(thingmint_environment):\n"
        "    boto3.client('iot').create_thing(thingName='pump')\n"
        "    things = thingmint_environment.client('iot').list_things()['things']\n"
        "    assert [each['thingName'] for each in things] == ['pump']\n"
        "def test_b():\n"
        "    assert 'AWS_ENDPOINT_URL' not in os.environ\n"
    )
    finished = run(tmp_path, "-q")
    assert "2 passed" in finished.stdout, finished.stdout + finished.stderr


def test_where_packages_are_missing_pytest_runs_and_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_a():\n    pass\n")
    (tmp_path / "test_with.py").write_text("def test_a(thingmint):\n    pass\n")
    (tmp_path / "boto3.py").write_text("raise ImportError('none', name='boto3')\n")
    assert "1 passed" in run(tmp_path, "-q", "test_other.py").stdout
    finished = run(tmp_path, "-q", "test_with.py")
    assert re.search(r"boto3 is missing: install thingmint\[pytest\]", finished.stdout + finished.stderr)
    assert finished.returncode == pytest.ExitCode.USAGE_ERROR


def test_nothing_is_started_for_tests_that_do_not_ask(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\ndef test_a():\n    assert 'boto3' not in sys.modules and 'thingmint.testing' not in sys.modules\n"
    )
    finished = run(tmp_path, "-q")
    assert "1 passed" in finished.stdout, finished.stdout
