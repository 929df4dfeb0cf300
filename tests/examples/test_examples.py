"""The examples do what they say: Terraform, CDK, Node.js, and the workflow of GitHub Actions."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients.aws import Live
from tests.support.clients.npm import node_with
from tests.support.clients.terraform import Terraform, ready_terraform, with_one_provider
from tests.support.machine.required import require
from tests.support.services.service import running_service

EXAMPLES = Path(__file__).parents[2] / "examples"
WORKFLOWS = EXAMPLES / "github-actions" / ".github" / "workflows"
LINTER = Path(__file__).parent / "actionlint"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service as `thingmint serve` starts it."""
    with running_service(tmp_path_factory.mktemp("examples") / "data") as service:
        yield Live(service, None)


def with_commands(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment with the programs of this interpreter on the path."""
    return environment | {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}


def ran(folder: Path, *command: str, environment: dict[str, str]) -> str:
    """Return what a command prints that has to succeed."""
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_terraform_needs_one_variable_for_the_address_and_no_skip_options(live: Live, tmp_path: Path) -> None:
    configuration = (EXAMPLES / "terraform" / "main.tf").read_text()
    assert "skip_" not in configuration.replace("no skip_", "")
    terraform: Terraform = ready_terraform(live, tmp_path, "")
    assert "AWS_ENDPOINT_URL" in terraform.environment
    assert not any(name.startswith("AWS_ENDPOINT_URL_IOT") for name in terraform.environment)
    (tmp_path / "main.tf").write_text(configuration)
    assert f'account = "{live.account}"' in terraform.apply()
    # That each command starts the provider anew has been seen.
    terraform = with_one_provider(terraform, live)
    terraform.assert_nothing_to_change()
    terraform.destroy()


def test_nodejs(tmp_path: Path) -> None:
    node = node_with("@aws-sdk/client-iot", EXAMPLES / "nodejs", "--ignore-scripts")
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    printed = ran(EXAMPLES / "nodejs", node, "--test", environment=with_commands(own | {"HOME": str(tmp_path)}))
    assert "# pass 2" in printed
    assert "# fail 0" in printed


def test_cdk_synthesizes_what_the_service_takes(live: Live) -> None:
    folder = EXAMPLES / "cdk"
    node = node_with("aws-cdk-lib", folder, "--ignore-scripts")
    shutil.rmtree(folder / "cdk.out", ignore_errors=True)
    environment = with_commands(live.service.environment)
    ran(folder, node, "app.mjs", environment=environment)
    template = json.loads((folder / "cdk.out" / "Fleet.template.json").read_text())
    kinds = sorted(each["Type"] for each in template["Resources"].values() if "IoT" in each["Type"])
    assert kinds == ["AWS::IoT::Policy", "AWS::IoT::ProvisioningTemplate", "AWS::IoT::Thing"]
    assert ran(folder, node, "check.mjs", environment=environment).count("is valid") == len(kinds)


@pytest.fixture(scope="module")
def node() -> str:
    """The path of Node.js, with actionlint installed."""
    return node_with("actionlint", LINTER, "--ignore-scripts")


def found_in(node: str, workflow: Path) -> list[dict[str, Any]]:
    """Return what actionlint finds."""
    found: list[dict[str, Any]] = json.loads(ran(LINTER, node, "lint.mjs", str(workflow), environment=dict(os.environ)))
    return found


def test_workflows_are_valid(node: str) -> None:
    workflows = list(WORKFLOWS.glob("*.yml"))
    assert len(workflows) == 1
    assert [found_in(node, workflow) for workflow in workflows] == [[]]


def test_a_workflow_that_is_wrong_would_be_found(node: str, tmp_path: Path) -> None:
    text = (WORKFLOWS / "test.yml").read_text().replace("job.status", "job.statuses")
    (tmp_path / "wrong.yml").write_text(text)
    assert any("statuses" in each["message"] for each in found_in(node, tmp_path / "wrong.yml"))


def steps_of(workflow: str, job: str) -> list[str]:
    """Return the shell scripts of a job, in order; of YAML, only what the workflow uses is read."""
    lines = workflow.partition(f"\n  {job}:\n")[2].splitlines()
    scripts: list[str] = []
    indent = None
    for line in lines:
        if line.strip() and not line.startswith("    "):
            break
        if indent is not None and line.startswith(indent):
            scripts[-1] += line.removeprefix(indent) + "\n"
            continue
        indent = None
        if "run: |" in line:
            scripts.append("")
            indent = " " * (line.index("run:") + 2)
        elif "run: " in line:
            scripts.append(line.partition("run: ")[2] + "\n")
    return scripts


def test_the_steps_of_the_workflow_work_one_after_the_other(tmp_path: Path) -> None:
    """Each step is a shell of its own, as at GitHub; what is installed there is installed here already."""
    require(shutil.which("bash"), "bash is not on PATH")
    shutil.copy(EXAMPLES / "github-actions" / "seed.json", tmp_path)
    scripts = steps_of((WORKFLOWS / "test.yml").read_text(), "other-programs")
    assert scripts.pop(0).startswith("pip install")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    environment = with_commands(own | {"GITHUB_ENV": str(tmp_path / "github.env"), "HOME": str(tmp_path)})
    printed = []
    for script in scripts:
        script = script.replace("${{ job.status }}", "success")
        printed.append(ran(tmp_path, "bash", "-e", "-o", "pipefail", "-c", script, environment=environment))
        lines = (tmp_path / "github.env").read_text().splitlines()
        environment |= dict(line.split("=", 1) for line in lines)
    assert any('"thingName": "pump-1"' in each for each in printed)
