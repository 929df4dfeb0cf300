"""What a simulation takes note of, and how it is shown."""

import json

import pytest

from thingmint.cli.simulation.measures import Latency, Measures, Step
from thingmint.cli.simulation.report import RunOutcome, print_json, print_report


def outcome(measures: Measures, **members: object) -> RunOutcome:
    told = {"run": "sim-1", "devices": 3, "failed": 1, "seconds": 2.0, "interrupted": False}
    return RunOutcome(**{**told, "measures": measures, "kept": [], "troubles": [], **members})  # type: ignore[arg-type] # a test's shorthand


def test_percentiles_are_times_that_some_device_has_waited() -> None:
    measures = Measures()
    for milliseconds in reversed(range(1, 101)):
        measures.record(Step.CONNECT, milliseconds / 1000)
    assert measures.latencies() == {Step.CONNECT: Latency(100, 50.0, 95.0, 99.0, 100.0)}


def test_single_time_is_every_percentile() -> None:
    measures = Measures()
    measures.record(Step.KEYS, 0.25)
    assert measures.latencies() == {Step.KEYS: Latency(1, 250.0, 250.0, 250.0, 250.0)}


def test_step_that_fails_is_not_timed() -> None:
    measures = Measures()
    with pytest.raises(ValueError, match="broken"), measures.timing(Step.CONNECT):
        raise ValueError("broken")
    assert measures.count(Step.CONNECT) == 0


def test_steps_are_shown_in_the_order_in_which_devices_take_them(capsys: pytest.CaptureFixture[str]) -> None:
    measures = Measures()
    for step in (Step.PUBACK, Step.PROVISIONED, Step.CONNECT):
        measures.record(step, 0.0125)
    print_report(outcome(measures))
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert shown[:4] == ["step", "connect", "provisioned", "puback"]


def test_report_names_failures_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    measures = Measures()
    measures.fail(Step.REGISTER, "AccessDenied")
    measures.fail(Step.REGISTER, "AccessDenied")
    measures.throttled = 4
    print_report(outcome(measures, kept=["policy sim-1-device"], troubles=["2 devices: [bold]gone"]))
    out = capsys.readouterr().out
    assert "0 of 3 devices provisioned" in out
    assert "failed: 2 × register: AccessDenied" in out
    assert "come back later 4 times" in out
    assert "kept: policy sim-1-device" in out
    assert "not removed: 2 devices: [bold]gone" in out


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    measures = Measures()
    measures.record(Step.PROVISIONED, 0.5)
    measures.fail(Step.REGISTER, "AccessDenied")
    print_json(outcome(measures))
    shown = json.loads(capsys.readouterr().out)
    assert shown["provisioned"] == 1
    assert shown["latencies_ms"] == {
        "provisioned": {"count": 1, "p50": 500.0, "p95": 500.0, "p99": 500.0, "max": 500.0}
    }
    assert shown["errors"] == [{"step": "register", "kind": "AccessDenied", "count": 1}]
