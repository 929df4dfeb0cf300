"""Owns the figures of what one account notices of another: the longest wait of a bystander while somebody works hard.

The bystander reads over the API and sends itself messages over MQTT. Each side of a figure is one kind of work of
another account, as expensive as its bounds allow.
"""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench import service
from bench.children import Worker
from bench.load import Caller
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, percentile
from bench.plan import Run
from bench.service import Service
from bench.wire import Credentials, Endpoint, Request

ACCOUNT = "111111111111"
POLICIES = 10
CLIENTS = 4
CHANGES = 5
CONCURRENCY = 16
SHARED = "bench-shared"
EVERYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'
# Found by a random search among legal policies: short pieces with many ?, which are looked for in the whole text.
WORST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Deny", "Action": "*", "Resource": ["arn:*" + "aaaaa?" * 10 + "c*"] * 25},
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
        ],
    },
    separators=(",", ":"),
)
RESOURCE = "arn:aws:iot:" + "a" * 2030


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the bystander while nobody works, while policies are tested, and while a shared policy changes."""
    with (
        service.running(run.directory / "bystander", "--key-reserve", "0") as ours,
        Worker("bench.bystander") as bystander,
        Worker("bench.fleet_devices") as devices,
    ):
        bystander.ask({"work": "prepare", "data_directory": str(ours.data_directory)})
        foreign = ForeignLoad()
        idle = bystander.ask(_watch(run.plan.bystander_s))
        tests = _Tests(ours)
        with tests.sent_repeatedly():
            during_tests = bystander.ask(_watch(run.plan.bystander_s))
        attack = {"work": "publish", "seconds": run.plan.bystander_s, "clients": CLIENTS}
        with Worker("bench.bystander") as publisher:
            publisher.ask({"work": "prepare", "data_directory": str(ours.data_directory)} | tests.as_publisher())
            publisher.begin(attack)
            during_publishing = bystander.ask(_watch(run.plan.bystander_s))
            published = publisher.finish()["published"]
        with closing(Caller(ours.endpoint)) as caller:
            connect_fleet(devices, ours, caller, run.plan.bystander_devices)
            bystander.begin(_watch(run.plan.bystander_s))
            _change_shared_policy(caller, run.plan.bystander_s)
            during_changes = bystander.finish()
        share = foreign.share()
    return [
        _figure("bystander-test", "worst TestAuthorization of another account", 250.0, idle, during_tests, share)(
            f"{tests.sent} requests of {CLIENTS} clients, {tests.resources} resources × {POLICIES} policies each"
        ),
        _figure("bystander-publish", "messages of another account's devices", 250.0, idle, during_publishing, share)(
            f"{published} messages of {CLIENTS} devices, {POLICIES} worst policies each, a new topic each time"
        ),
        _figure("bystander-policy", "change of a policy that a fleet shares", 50.0, idle, during_changes, share)(
            f"{CHANGES} changes, {run.plan.bystander_devices} connected devices"
        ),
    ]


class _Tests:
    """The most expensive tests of policies that another account may send."""

    def __init__(self, ours: Service) -> None:
        self._endpoint = _endpoint_of_other_account(ours)
        self.sent = 0
        with closing(Caller(self._endpoint)) as caller:
            for number in range(POLICIES):
                caller.text(Request("POST", f"/policies/w{number}", body=json.dumps({"policyDocument": WORST})))
            self.resources = self._most_resources(caller)
        self._request = self._test(self.resources)

    def as_publisher(self) -> dict[str, object]:
        """Return what a process needs to be a device of the account with these policies."""
        credentials = self._endpoint.credentials
        assert credentials is not None
        keys = [credentials.access_key_id, credentials.secret_access_key]
        return {"credentials": keys, "policies": [f"w{number}" for number in range(POLICIES)]}

    @contextmanager
    def sent_repeatedly(self) -> Iterator[None]:
        """Send the test again and again, from several clients, for as long as the block runs."""
        is_over = threading.Event()

        def send() -> None:
            with closing(Caller(self._endpoint)) as caller:
                while not is_over.is_set():
                    caller.text(self._request)
                    self.sent += 1

        threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            is_over.set()
            for thread in threads:
                thread.join()

    def _most_resources(self, caller: Caller) -> int:
        """Return how many resources a test may have with these policies: a power of two less than is refused."""
        count = 16
        while True:
            try:
                caller.text(self._test(2 * count))
            except RuntimeError:
                return count
            count *= 2

    def _test(self, resources: int) -> Request:
        infos = [{"actionType": "PUBLISH", "resources": [RESOURCE + str(index) for index in range(resources)]}]
        names = [f"w{number}" for number in range(POLICIES)]
        return Request("POST", "/test-authorization", body=json.dumps({"authInfos": infos, "policyNamesToAdd": names}))


def _endpoint_of_other_account(ours: Service) -> Endpoint:
    policy = ours.data_directory / "everything.json"
    policy.write_text('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}')
    program = str(Path(sys.executable).with_name("thingmint"))
    command = [program, "access-key", "create", "--data-dir", str(ours.data_directory), "--account", ACCOUNT]
    made = subprocess.run([*command, "--policy", str(policy), "--json"], check=True, capture_output=True, text=True)
    keys = json.loads(made.stdout)
    return dataclasses.replace(ours.endpoint, credentials=Credentials(keys["AccessKeyId"], keys["SecretAccessKey"]))


def connect_fleet(devices: Worker, ours: Service, caller: Caller, count: int) -> None:
    """Have devices connect that all share a policy beside that of their template."""
    devices.ask({"work": "prepare", "data_directory": str(ours.data_directory)})
    devices.ask({"work": "provision_many", "count": count, "concurrency": CONCURRENCY})
    caller.text(Request("POST", f"/policies/{SHARED}", body=json.dumps({"policyDocument": EVERYTHING})))
    marker, attach = "", json.dumps
    while True:
        page = caller.json(service.list_request(250, marker or None))
        for certificate in page["certificates"]:
            body = attach({"target": certificate["certificateArn"]})
            caller.text(Request("PUT", f"/target-policies/{SHARED}", body=body))
        marker = page.get("nextMarker", "")
        if not marker:
            break
    devices.ask({"work": "come_back", "first": 0, "last": count, "concurrency": CONCURRENCY})


def _change_shared_policy(caller: Caller, seconds: float) -> None:
    for change in range(1, CHANGES + 1):
        time.sleep(seconds / (CHANGES + 2))
        document = EVERYTHING.replace("iot:*", f"iot:*{'*' * change}")
        path = f"/policies/{SHARED}/version"
        made = caller.json(Request("POST", path, "setAsDefault=true", json.dumps({"policyDocument": document})))
        previous = int(made["policyVersionId"]) - 1
        caller.text(Request("DELETE", f"/policies/{SHARED}/version/{previous}"))


def _figure(
    figure: str, title: str, target_ms: float, idle: dict[str, Any], busy: dict[str, Any], share: float
) -> Callable[[str], Measurement]:
    worst = max(*busy["api_ms"], *busy["mqtt_ms"])
    parts = {
        f"{side}_{kind}_{name}": measure(latencies[f"{kind}_ms"])
        for side, latencies in (("idle", idle), ("busy", busy))
        for kind in ("api", "mqtt")
        for name, measure in (("p50", lambda each: percentile(each, 0.5)), ("max", max))
    }

    def described(sides: str) -> Measurement:
        return Measurement(
            figure=figure,
            title=f"a bystander's longest wait, API and MQTT: {title}",
            value=worst,
            unit="ms",
            target=Target(Bound.AT_MOST, target_ms),
            rounds=(worst,),
            n=f"{len(busy['api_ms'])} reads, {len(busy['mqtt_ms'])} round trips",
            sides=sides,
            parts=parts,
            foreign_share=share,
        )

    return described


def _watch(seconds: float) -> dict[str, object]:
    return {"work": "watch", "seconds": seconds}
