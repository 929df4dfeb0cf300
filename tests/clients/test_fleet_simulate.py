"""`thingmint fleet simulate` as a process: real devices of a running service, and what is left of them."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import Fleet, new_fleet, unique
from tests.support.services.forked import Process, start_thingmint
from tests.support.services.published import until
from tests.support.services.service import running_service

ENDS_WITHIN = 120.0
TUTORIAL = Path(__file__).parents[2] / "docs/tutorials/sizing.md"


@pytest.fixture
def live(live_on_sqlite: Live) -> Live:
    """The service on SQLite: devices do not see what is behind it."""
    return live_on_sqlite


@pytest.fixture
def iot(live: Live, administrators: Callable[[Live], IoT]) -> IoT:
    return administrators(live)


def start(data_dir: Path | None, *options: str, environment: dict[str, str] | None = None) -> Process:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    named = () if data_dir is None else ("--data-dir", str(data_dir))
    return start_thingmint("fleet", "simulate", *named, *options, environment=own | (environment or {}))


def simulate(live: Live, *options: str, code: int = 0) -> Any:  # parsed JSON
    """Run a simulation and return what it says of itself."""
    process = start(live.service.data_dir, "--json", *options)
    out, err = process.communicate(timeout=ENDS_WITHIN)
    assert process.returncode == code, err
    assert "PRIVATE KEY" not in out + err
    return json.loads(out)


def counts(shown: Any) -> dict[str, int]:
    return {step: latency["count"] for step, latency in shown["latencies_ms"].items()}


def registered(iot: IoT) -> dict[str, set[str]]:
    """Return the names of all that a simulation could have made.

    Without certificates that wait for their activation: one that was under way when its device was cut off is nobody's,
    may appear later, and is swept after an hour.
    """

    def listed(operation: str, members: str, name: str) -> set[str]:
        pages = iot.get_paginator(operation).paginate()
        entries = [each for page in pages for each in page[members]]
        return {each[name] for each in entries if each.get("status") != "PENDING_ACTIVATION"}

    return {
        "certificates": listed("list_certificates", "certificates", "certificateId"),
        "things": listed("list_things", "things", "thingName"),
        "policies": listed("list_policies", "policies", "policyName"),
        "templates": listed("list_provisioning_templates", "templates", "templateName"),
    }


@pytest.mark.parametrize(("flag", "step"), [("--keys", "keys"), ("--csr", "csr")])
def test_devices_live_and_leave_nothing_behind(live: Live, iot: IoT, flag: str, step: str) -> None:
    before = registered(iot)
    options = ("--duration", "0.5", "--publish", "10", "--reconnect", "--clean-up", flag)
    shown = simulate(live, "--devices", "4", *options)
    assert (shown["provisioned"], shown["failed"], shown["errors"]) == (4, 0, [])
    found = counts(shown)
    messages = found.pop("round trip")
    assert messages == found.pop("puback") == shown["messages"] > 8
    assert found == dict.fromkeys(("connect", step, "register", "reconnect", "provisioned", "return"), 4)
    assert (shown["kept"], shown["not_removed"]) == ([], [])
    assert registered(iot) == before


def test_what_is_kept_is_named_and_devices_are_registered(live: Live, iot: IoT) -> None:
    shown = simulate(live, "--devices", "2")
    run = shown["run"]
    assert [name.rpartition(" ")[0] for name in shown["kept"]] == [
        "policy",
        "provisioning template",
        "policy",
        "claim certificate",
        "2 devices named",
    ]
    for number in (1, 2):
        assert len(iot.list_thing_principals(thingName=f"{run}-{number:05}")["principals"]) == 1
    assert run in registered(iot)["templates"]


def test_what_an_earlier_run_has_left_is_removed_as_the_tutorial_says(live: Live, iot: IoT) -> None:
    before = registered(iot)
    run = simulate(live, "--devices", "2")["run"]
    assert registered(iot) != before
    [snippet] = re.findall(r"^run, iot = .*?$(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    exec(snippet, {"run": run, "iot": iot})
    assert registered(iot) == before


@pytest.fixture
def fleet(iot: IoT) -> Fleet:
    """A fleet that was there before: its things are called device-SERIAL."""
    return new_fleet(iot)


def claim_of(fleet: Fleet, folder: Path) -> tuple[str, ...]:
    certificate, key = fleet.claim.files(folder)
    return "--claim-certificate", str(certificate), "--claim-key", str(key)


def test_fleet_of_ones_own_is_tried_and_kept(live: Live, iot: IoT, fleet: Fleet, tmp_path: Path) -> None:
    before = registered(iot)
    shown = simulate(live, "--devices", "2", "--template", fleet.template, *claim_of(fleet, tmp_path), "--clean-up")
    assert (shown["provisioned"], shown["errors"], shown["not_removed"]) == (2, [], [])
    assert registered(iot) == before


def test_gateway_alone_is_enough_where_everything_is_told(live: Live, iot: IoT, fleet: Fleet, tmp_path: Path) -> None:
    serial = unique("told")
    told = ("--mqtt", f"localhost:{live.service.endpoints.mqtt_port}", "--ca", str(live.ca_file))
    parameter = ("--parameter", f"Serial={serial}-{{device}}")
    options = ("--template", fleet.template, *claim_of(fleet, tmp_path), *told, *parameter)
    process = start(tmp_path / "no service", "--devices", "1", "--json", *options)
    out, err = process.communicate(timeout=ENDS_WITHIN)
    assert process.returncode == 0, err
    run = json.loads(out)["run"]
    assert iot.describe_thing(thingName=f"device-{serial}-{run}-00001")


def test_service_of_the_variables_is_found(live: Live, tmp_path: Path) -> None:
    options = ("--devices", "1", "--clean-up", "--json")
    # A directory that is named by a variable goes behind AWS's; one that is typed is asked and no other.
    environment = live.service.environment | {"THINGMINT_DATA_DIR": str(tmp_path / "no service")}
    process = start(None, *options, environment=environment)
    out, err = process.communicate(timeout=ENDS_WITHIN)
    assert process.returncode == 0, err
    assert json.loads(out)["provisioned"] == 1


def test_devices_that_fail_make_the_run_fail(live: Live, iot: IoT) -> None:
    before = registered(iot)
    shown = simulate(live, "--devices", "3", "--topic", "not/theirs", "--clean-up", code=1)
    assert (shown["provisioned"], shown["failed"]) == (3, 3)
    assert shown["errors"] == [{"step": "subscribe", "kind": "NOT_AUTHORIZED", "count": 3}]
    assert registered(iot) == before


def test_devices_of_a_template_that_does_not_exist_make_nothing(live: Live, iot: IoT) -> None:
    before = registered(iot)
    process = start(live.service.data_dir, "--devices", "1", "--template", "missing")
    _, err = process.communicate(timeout=ENDS_WITHIN)
    assert process.returncode == 1
    assert "ResourceNotFoundException" in err
    assert registered(iot) == before


def interrupted(process: Process, iot: IoT, before: dict[str, set[str]]) -> tuple[int, str]:
    """Interrupt the process when its devices are at work."""
    while len(registered(iot)["things"] - before["things"]) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)  # the registry sets no event
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=ENDS_WITHIN)
    return process.wait(), out


@pytest.mark.parametrize("devices", ["3", "1000"], ids=["while they stay", "while they are provisioned"])
def test_interruption_ends_all_devices_and_still_cleans_up(live: Live, iot: IoT, devices: str) -> None:
    before = registered(iot)
    process = start(live.service.data_dir, "--json", "--devices", devices, "--duration", "600", "--clean-up")
    code, out = interrupted(process, iot, before)
    assert code == 130
    shown = json.loads(out)
    assert shown["interrupted"]
    assert shown["not_removed"] == []
    assert registered(iot) == before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--mqtt", "192.0.2.1:8883"), "--allow-remote"),
        (("--endpoint", "https://192.0.2.1"), "--allow-remote"),
        (("--mqtt", "localhost:1"), "nobody answers on localhost:1"),
        (("--parameter", "nothing"), "a parameter is NAME=VALUE"),
        (("--parameter", "=value"), "a parameter is NAME=VALUE"),
        (("--storm", "wills"), "a storm needs 2 devices or more"),
        (("--storm", "wills", "--template", "own"), "a policy that is the run's own"),
        (("--claim-certificate", __file__), "give both"),
        (("--claim-certificate", __file__, "--claim-key", __file__), "the claim cannot be used"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_is_made(
    live: Live, iot: IoT, options: tuple[str, ...], why: str
) -> None:
    before = registered(iot)
    process = start(live.service.data_dir, "--devices", "1", *options, environment=live.service.environment)
    _, err = process.communicate(timeout=ENDS_WITHIN)
    assert process.returncode == 1
    assert err.startswith("thingmint: ")
    assert why in err
    assert registered(iot) == before


def test_a_fleet_renews_across_a_rotation_and_loses_no_device(tmp_path: Path) -> None:
    """Devices of the old issuer stay connected while it is rotated, renew, and come back below the new one."""
    with running_service(tmp_path / "data", "--est", "127.0.0.1:0") as service:
        live = Live(service, None)
        process = start(service.data_dir, "--json", "--devices", "4", "--csr", "--renew", "rotated", "--clean-up")
        client = live.client()
        try:
            until(lambda: len(client.list_things()["things"]) == 4)
            live.thingmint("issuer", "rotate")
            out, err = process.communicate(timeout=ENDS_WITHIN)
        finally:
            client.close()
        assert process.returncode == 0, err
        shown = json.loads(out)
        assert (shown["lost"], shown["failed"], shown["not_removed"]) == (0, 0, [])
        assert counts(shown)["renew"] == counts(shown)["return"] == 4
        crossed = [each["count"] for each in shown["renewals"] if each["old_issuer"] != each["new_issuer"]]
        assert crossed == [4]
    assert "request failed" not in service.log
