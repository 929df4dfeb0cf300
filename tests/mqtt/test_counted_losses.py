"""Nothing is dropped or refused because of a limit without being counted, in metrics that the manual explains."""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.support.brokers.broker import Bench, Losses

import thingmint.mqtt
from thingmint.mqtt.counters import Counters, Gauge, Loss, Traffic
from thingmint.mqtt.metrics import FAMILIES, GAUGES, BrokerMetrics
from thingmint.mqtt.queues.limits import BrokerLimits

ROOT = Path(thingmint.mqtt.__file__).parent
SOURCES = {str(path.relative_to(ROOT).with_suffix("")): path.read_text() for path in sorted(ROOT.rglob("*.py"))}
MANUAL = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
# What shows that a function drops, refuses or cuts: names of attributes and of calls.
SIGNS = frozenset(
    {
        "QUOTA_EXCEEDED",
        "MESSAGE_RATE_TOO_HIGH",
        "TOO_LARGE",
        "FULL",
        "Throttled",
        "drop_oldest",
        "put_unsent",
        "is_congested",
        "make_room",
        "AnswerNotReadable",
        "may_receive",
    }
)
COUNTS = frozenset({"lost", "_count_outcome"})
# Modules whose losses are not messages or requests of the built-in broker, and where these are counted.
ELSEWHERE = {
    "counters": "names them",
    "codec/reason_codes": "names codes",
    "codec/reason_tables": "names codes",
    "data_plane": "names outcomes",
    "events": "maps codes to events",
    "gateway/endings": "maps codes to events",
    "relay/own_client": "the service's own connections, whose messages are for probes and reading",
    "relay/connections/output": "its callers wait until the broker reads",
    "relay/service": "an operator's request, counted by operation and error",
    "edges/operator_edge": "an operator's request, counted by operation and error",
    "edges/topic_watch": "the copy of an operator who looks, who is shown how many were dropped",
}
# Functions that show a sign and lose nothing, or whose caller counts.
NOT_HERE = {
    ("gateway/link/device_link", "deliver"): "returns the outcome; the queue counts",
    ("gateway/link/device_link", "deliver_shared"): "returns the outcome; the queue counts",
    ("gateway/link/deliveries", "_deliver"): "returns the outcome; the queue counts",
    ("gateway/link/deliveries", "deliver_shared"): "returns the outcome; the queue counts",
    ("gateway/link/deliveries", "deliver"): "returns the outcome; the queue counts",
    ("gateway/link/deliveries", "send_confirmed"): "returns the outcome to the operator who waits for it",
    ("queues/limits", "check_subscribe"): "the client breaks a rule of the protocol",
    ("broker/message_flow", "_make_room_for"): "begin counts a refusal",
    ("broker/message_flow", "_readiness"): "another member of the group gets the message",
    ("relay/connections/upstream", "takes_now"): "the message then waits",
    ("relay/connections/upstream", "advance"): "the broker waits",
    ("relay/connections/requests", "refuse_unreadable"): "the request that fails counts",
    ("relay/connections/requests", "publish"): "_ask counts",
    ("relay/connections/requests", "__init__"): "the refusal itself, which _ask counts",
    ("queues/outbox", "_why_void"): "returns the loss, which its callers count",
}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for module, text in SOURCES.items():
        if module in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield module, node


def names_in(function: ast.AST) -> set[str]:
    attributes = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def test_exceptions_name_modules_that_exist() -> None:
    assert {*ELSEWHERE, *(module for module, _ in NOT_HERE)} <= set(SOURCES)


def test_every_place_that_drops_or_refuses_counts() -> None:
    found = {
        (module, function.name)
        for module, function in functions()
        if names_in(function) & SIGNS and not names_in(function) & COUNTS
    }
    assert found == set(NOT_HERE)


def test_every_name_of_a_loss_is_counted_somewhere() -> None:
    used = {
        node.attr
        for module, text in SOURCES.items()
        if module not in ("counters", "metrics")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Loss"
    }
    assert used == {loss.name for loss in Loss}


def test_every_gauge_is_measured_somewhere() -> None:
    used = {
        node.attr
        for module, text in SOURCES.items()
        if module != "counters"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Gauge"
    }
    assert {gauge.name for gauge in Gauge} <= used


def rendered(registry: CollectorRegistry) -> list[str]:
    return generate_latest(registry).decode().splitlines()


def test_the_metrics_have_every_loss_from_the_start_and_add_to_it() -> None:
    registry = CollectorRegistry()
    counters = Counters(BrokerMetrics(registry))
    for loss in Loss:
        assert f'{FAMILIES[loss.family][0]}_total{{reason="{loss.reason}"}} 0.0' in rendered(registry)
        counters.lost(loss, 3)
        assert f'{FAMILIES[loss.family][0]}_total{{reason="{loss.reason}"}} 3.0' in rendered(registry)


def test_the_metrics_have_every_gauge_and_the_traffic() -> None:
    registry = CollectorRegistry()
    counters = Counters(BrokerMetrics(registry))
    counters.measured({gauge: number for number, gauge in enumerate(Gauge)})
    for number, gauge in enumerate(Gauge):
        name, _, state = gauge.value.partition(":")
        label = f'{{state="{state}"}}' if state else ""
        assert f"{GAUGES[name][0]}{label} {float(number)}" in rendered(registry)
    counters.passed(Traffic.RECEIVED)
    counters.passed(Traffic.SENT)
    counters.passed(Traffic.SENT)
    counters.tick(0.0)
    counters.tick(1.0)
    counters.observer.loop_lag(0.03)
    lines = rendered(registry)
    assert "thingmint_mqtt_messages_received_total 1.0" in lines
    assert "thingmint_mqtt_messages_sent_total 2.0" in lines
    assert 'thingmint_event_loop_lag_seconds_bucket{le="0.05"} 1.0' in lines


def test_the_manual_names_every_metric_and_every_reason() -> None:
    manual = MANUAL.read_text()
    names = [name for name, _ in (*FAMILIES.values(), *GAUGES.values())]
    names += ["thingmint_mqtt_messages_received", "thingmint_mqtt_messages_sent", "thingmint_event_loop_lag_seconds"]
    assert [name for name in names if f"`{name}" not in manual] == []
    assert [loss.reason for loss in Loss if f"`{loss.reason}`" not in manual] == []


def test_the_broker_tells_what_it_holds() -> None:
    bench = Bench()
    bench.subscribe(device := bench.connect("away", expiry=60), "a")
    bench.leave(device)
    bench.subscribe(bench.connect("there"), "b/#")
    bench.publish(bench.connect("sender"), "a", b"x" * 100, retain=True)
    measured = bench.broker.measured()
    assert measured.pop(Gauge.RETAINED_BYTES) > 100
    assert measured.pop(Gauge.QUEUED_BYTES) > 0
    assert measured == {
        Gauge.QUEUED_MESSAGES: 1,
        Gauge.RETAINED_MESSAGES: 1,
        Gauge.SESSIONS_CONNECTED: 2,
        Gauge.SESSIONS_AWAY: 1,
        Gauge.SUBSCRIPTIONS: 2,
        Gauge.ACCOUNTS: 1,
    }


def test_losses_are_logged_at_once_then_each_ten_seconds_and_none_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters(Losses())
    with caplog.at_level(logging.WARNING):
        counters.lost(Loss.QUEUE_FULL)
        counters.lost(Loss.EXPIRED)
        for now in range(30):
            counters.tick(float(now))
            if now < 8:
                counters.lost(Loss.QUEUE_FULL, 100)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "MQTT messages were dropped because of a limit: 1 (queue_full)",
        "MQTT messages were dropped because of a limit: 800 (queue_full)",
    ]


def test_what_is_dropped_shows_in_the_counters_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(BrokerLimits(queued_messages=1_000))
    bench.subscribe(device := bench.connect("away", expiry=60), "a")
    bench.leave(device)
    sender = bench.connect("sender")
    for _ in range(1_500):
        bench.publish(sender, "a")
    assert bench.losses.of(Loss.QUEUE_FULL) == 500
    with caplog.at_level(logging.WARNING):
        bench.broker._counters.tick(bench.now)
    assert any("500 (queue_full)" in record.getMessage() for record in caplog.records)
