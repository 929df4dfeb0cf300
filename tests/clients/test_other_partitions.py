"""A service in a region of another partition than aws: ARNs that its own tools write match those of its resources."""

import html
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.clients.aws import AccessKey, Live
from tests.support.console.console_pages import Pages
from tests.support.services.forked import run_thingmint
from tests.support.services.service import running_service

from thingmint.core.identifiers import partition_of
from thingmint.data_directory.handover import read_credentials

REGION, PREFIX = "cn-north-1", "arn:aws-cn:"
OTHER_PARTITIONS = re.compile(r"arn:aws:")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service in China."""
    folder = tmp_path_factory.mktemp("partition")
    with running_service(folder / "data", "--region", REGION) as service:
        yield Live(service, None)


@pytest.fixture
def pages(live: Live) -> Pages:
    """The console, with a session of the administrator."""
    credentials = read_credentials(live.service.data_dir)
    assert credentials is not None
    return Pages(live).sign_in(AccessKey(credentials.access_key_id, credentials.secret_access_key))


def test_simulated_devices_are_allowed_to_connect(live: Live) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    command = ("fleet", "simulate", "--json", "--devices", "2", "--clean-up", "--csr")
    ended = run_thingmint(*command, "--data-dir", str(live.service.data_dir), environment=own)
    assert ended.returncode == 0, ended.stderr
    shown = json.loads(ended.stdout)
    assert (shown["provisioned"], shown["failed"], shown["errors"]) == (2, 0, [])


@pytest.mark.parametrize("page", ["/policies", "/fleets", "/simulator"])
def test_examples_of_the_console_are_of_the_partition(pages: Pages, page: str) -> None:
    shown = html.unescape(pages.get(page).text)
    assert PREFIX in shown
    assert not OTHER_PARTITIONS.search(shown)


def test_the_example_of_a_policy_lets_a_device_connect_as_its_thing(live: Live, pages: Pages) -> None:
    found = re.search(r'<textarea id="document"[^>]*>(.*?)</textarea>', pages.get("/policies").text, re.DOTALL)
    assert found is not None
    with closing(live.client()) as iot:
        arn = iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]
        iot.create_thing(thingName="pump")
        iot.attach_thing_principal(thingName="pump", principal=arn)
        iot.create_policy(policyName="example", policyDocument=html.unescape(found[1]))
        iot.attach_policy(policyName="example", target=arn)
        asked = {"actionType": "CONNECT", "resources": [f"{PREFIX}iot:{REGION}:000000000000:client/pump"]}
        (result,) = iot.test_authorization(principal=arn, clientId="pump", authInfos=[asked])["authResults"]
    assert result["authDecision"] == "ALLOWED"


@pytest.mark.parametrize("region", ["us-east-1", "eusc-de-east-1"])
def test_an_export_names_the_resources_of_the_other_partition(live: Live, tmp_path: Path, region: str) -> None:
    resources = [f"{PREFIX}iot:{REGION}:000000000000:topic/a", f"{PREFIX}iot:*:*:topic/b", "*"]
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": resources}
    name = f"exported-{region}"
    with closing(live.client()) as iot:
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iot.create_policy(policyName=name, policyDocument=document)
    out = tmp_path / "export"
    place = ("--aws-account", "210987654321", "--aws-region", region)
    own = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "THINGMINT_"))}
    data = ("--data-dir", str(live.service.data_dir))
    ended = run_thingmint("export", "aws", *data, "--out", str(out), *place, environment=own)
    assert ended.returncode == 0, ended.stderr
    (exported,) = json.loads((out / "policies" / f"{name}.json").read_text())["Statement"]
    prefix = f"arn:{partition_of(region)}:iot:{region}:210987654321:"
    assert exported["Resource"] == [f"{prefix}topic/a", f"{prefix}topic/b", "*"]
