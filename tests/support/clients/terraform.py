"""Owns how tests run Terraform with AWS's provider against a live service; knows no resource.

It cannot be had from a package index, so no machine has to have it: where it is missing, the tests skip.
"""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.clients.aws import Live

PROVIDER = Path("registry.terraform.io/hashicorp/aws")
USUAL_PLACES = (
    Path("/opt/tf-plugins"),
    Path("/usr/local/share/terraform/plugins"),
    Path("/usr/share/terraform/plugins"),
    Path("~/.terraform.d/plugins"),
)

_REATTACH = re.compile(r"TF_REATTACH_PROVIDERS='(.+)'\n")

PROVIDER_CONFIGURATION = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  max_retries = 1
}
"""


@dataclass(frozen=True)
class Terraform:
    """Terraform in a folder of its own."""

    program: str
    folder: Path
    environment: dict[str, str]

    def run(self, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command without questions and colours."""
        return subprocess.run(
            [self.program, *command.split(), "-no-color", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def must(self, command: str, *arguments: str) -> str:
        """Return what a command prints that has to succeed."""
        finished = self.run(command, *arguments)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def apply(self, *variables: str) -> str:
        """Make the service as the configuration says; a variable is ``name=value``."""
        return self.must("apply", "-input=false", "-auto-approve", *_flags(variables))

    def destroy(self, *variables: str) -> str:
        """Remove everything that the configuration made."""
        return self.must("destroy", "-input=false", "-auto-approve", *_flags(variables))

    def assert_nothing_to_change(self, *variables: str) -> None:
        """Plan again: exit code 2 would mean that something is to be changed."""
        plan = self.run("plan", "-input=false", "-detailed-exitcode", *_flags(variables))
        assert plan.returncode == 0, plan.stdout + plan.stderr


def with_one_provider(terraform: Terraform, live: Live) -> Terraform:
    """Return the same Terraform whose commands all use one process of the provider, which ends with the service.

    Otherwise each command starts several, and that takes most of its time. The process cannot be configured twice with
    AWS's variable for the trust anchor; the one of Go's library means the same.
    """
    own = dict(terraform.environment)
    own["SSL_CERT_FILE"] = own.pop("AWS_CA_BUNDLE")
    own |= {"TF_LOG_SDK": "OFF", "TF_LOG_PROVIDER": "OFF"}
    plugins = find_plugins()
    assert plugins is not None
    (program,) = (path for path in (plugins / PROVIDER).rglob("terraform-provider-aws*") if path.is_file())
    words = terraform.folder / "provider.log"
    with words.open("wb") as log:
        # It lives longer than a command, and so frees memory.
        environment = own | {"GOGC": "200"}
        process = subprocess.Popen(
            [program, "-debug"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )

    def end() -> None:
        process.kill()
        process.wait(60)

    live.service.closers.append(end)
    while (told := _REATTACH.search(words.read_text())) is None:
        assert process.poll() is None, words.read_text()
        time.sleep(0.05)  # a file sets no event
    return replace(terraform, environment=own | {"TF_REATTACH_PROVIDERS": told[1]})


def _flags(variables: tuple[str, ...]) -> list[str]:
    return [f"-var={variable}" for variable in variables]


def find_plugins() -> Path | None:
    """Return the folder of providers that the machine has, if AWS's is in it."""
    named = os.environ.get("THINGMINT_TEST_TERRAFORM_PLUGINS")
    places = (Path(named),) if named else tuple(place.expanduser() for place in USUAL_PLACES)
    return next((place for place in places if (place / PROVIDER).is_dir()), None)


def ready_terraform(live: Live, folder: Path, configuration: str, *, one_provider: bool = False) -> Terraform:
    """Return Terraform, ready to apply the configuration in the folder; skip where a machine has none.

    With one provider, it is started before, and Terraform does not have to read and hash its file.
    """
    program, plugins = shutil.which("terraform"), find_plugins()
    if program is None or plugins is None:
        pytest.skip("no Terraform with AWS's provider in a local mirror (THINGMINT_TEST_TERRAFORM_PLUGINS)")
    (folder / "main.tf").write_text(PROVIDER_CONFIGURATION + configuration)
    (folder / "no.tfrc").touch()
    environment = live.service.environment | {
        "TF_CLI_CONFIG_FILE": str(folder / "no.tfrc"),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        # Each command reads AWS's schemas and ends: to look for memory to be freed takes a fifth of its time.
        "GOGC": "off",
        "AWS_ENDPOINT_URL": live.service.endpoints.api,
    }
    # One variable is enough: the provider asks the same endpoint who it is.
    for name in ("AWS_ENDPOINT_URL_IOT", "AWS_ENDPOINT_URL_IOT_DATA_PLANE"):
        del environment[name]
    ready = Terraform(program, folder, environment)
    if one_provider:
        ready = with_one_provider(ready, live)
    ready.must("init", "-input=false", f"-plugin-dir={plugins}")
    return ready
