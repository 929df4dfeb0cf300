"""What clients say when something is wrong is in the page of symptoms, word for word."""

import datetime as dt
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tests.support.clients.aws import AccessKey, IoT, Live, allow, policy
from tests.support.devices.live_devices import new_credentials
from tests.support.machine.required import required_program

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "troubleshooting.md").read_text()
SECTIONS = ("A device says", "An AWS tool says")
# What no request here can bring about, and where it is.
ELSEWHERE = {
    "ThrottlingException … Rate exceeded": "tests/clients/test_boto3_throttling.py",
    "ServiceUnavailableException …": "tests/faults/test_full_disk.py",
}


@pytest.fixture(name="live")
def live_fixture(live_on_sqlite: Live) -> Live:
    """The session's service on SQLite."""
    return live_on_sqlite


def headings(section: str) -> list[str]:
    text = re.search(rf"^## {section}$(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert text is not None
    return re.findall(r"^### `(.+)`$", text[1], re.MULTILINE)


def is_explained(said: str, section: str) -> str | None:
    """Return the heading that the text has, with anything for each ``…``."""
    for heading in headings(section):
        if re.search(".*".join(map(re.escape, heading.split("…"))).replace(r"\ .*\ ", " (?:.* )?"), said):
            return heading
    return None


class Publisher:
    """Mosquitto's client with one thing wrong."""

    def __init__(self, live: Live, folder: Path) -> None:
        self.live = live
        client = live.client()
        try:
            certificate, key = new_credentials(client, policy=None).files(folder)
        finally:
            client.close()
        host, _, port = live.service.endpoints.mqtt.rpartition(":")
        self.options = {"-h": host, "-p": port, "--cafile": str(live.ca_file)}
        self.own = {"--cert": str(certificate), "--key": str(key)}

    def says(self, options: Mapping[str, str]) -> str:
        words = [word for pair in options.items() for word in pair]
        command = [required_program("mosquitto_pub"), *words, "-i", "first", "-t", "t", "-m", "m"]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert finished.returncode != 0
        return finished.stderr + finished.stdout


def test_what_devices_say_is_explained(live: Live, tmp_path: Path) -> None:
    publisher = Publisher(live, tmp_path)
    whole = publisher.options | publisher.own
    said = [
        # Without a policy, without a certificate, without TLS; then by MQTT 5.
        publisher.says(whole),
        publisher.says(publisher.options),
        publisher.says({name: value for name, value in publisher.options.items() if name != "--cafile"}),
        publisher.says(whole | {"-V": "5"}),
        publisher.says(whole | {"--cafile": publisher.own["--cert"]}),
        publisher.says(whole | {"-p": "1"}),
    ]
    explained = [is_explained(each, SECTIONS[0]) for each in said]
    assert explained[0] == explained[1] == explained[2]
    assert set(explained) == set(headings(SECTIONS[0])), said


def says(call: Callable[[IoT], object], client: IoT) -> str:
    try:
        call(client)
    except (ClientError, BotoCoreError) as error:
        found = re.match(r"An error occurred \((\w+)\).*? operation.*?: (.*)", str(error))
        return f"{found[1]} {found[2]}" if found else str(error)
    finally:
        client.close()
    pytest.fail("it succeeded")


def test_what_aws_tools_say_is_explained(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    administrator = live.administrator
    wrong_ca = tmp_path / "wrong.pem"
    shutil.copy(live.service.data_dir / "certificates" / "issuing-ca.pem", wrong_ca)
    reader = live.create_access_key(policy(allow("iot:List*")))

    def lists(client: IoT) -> object:
        return client.list_things()

    def client(**other: object) -> IoT:
        settings: dict[str, object] = {
            "endpoint_url": live.service.endpoints.api,
            "verify": str(live.ca_file),
            "region_name": live.service.endpoints.region,
            "aws_access_key_id": administrator.access_key_id,
            "aws_secret_access_key": administrator.secret_access_key,
            "config": Config(retries={"total_max_attempts": 1}),
        }
        return boto3.client("iot", **{**settings, **other})

    said = [
        says(lists, live.client(AccessKey(administrator.access_key_id, "wrong"))),
        says(lists, live.client(AccessKey("AKIAIOSFODNN7EXAMPLE", "wrong"))),
        says(lists, client(region_name="eu-west-1")),
        says(lambda iot: iot.create_thing(thingName="refused"), live.client(reader)),
        says(lambda iot: iot.list_jobs(), live.client()),
        says(lists, client(verify=str(wrong_ca))),
        says(lists, client(endpoint_url="https://127.0.0.1:1")),
        _says_an_hour_later(live, monkeypatch),
    ]
    explained = [is_explained(each, SECTIONS[1]) for each in said]
    assert set(explained) | set(ELSEWHERE) == set(headings(SECTIONS[1])), said


def _says_an_hour_later(live: Live, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the answer to a request that was signed by a clock which is an hour ahead."""
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now)
    answer = live.send(live.signed("GET", "/things"))
    return f"{answer.error_name} {answer.body['message']}"
