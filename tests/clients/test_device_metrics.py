"""What operators see of devices in the metrics of a running service."""

import contextlib
import re
import ssl
import time
import urllib.request
from pathlib import Path

import pytest
from tests.support.clients.aws import Live
from tests.support.devices.live_devices import GENEROUS, device, new_credentials, unique

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


@pytest.fixture(name="live")
def live_fixture(live_on_sqlite: Live) -> Live:
    """The session's service on SQLite; the metrics do not depend on the storage."""
    return live_on_sqlite


def metrics_of(live: Live) -> str:
    context = ssl.create_default_context(cafile=str(live.ca_file))
    with urllib.request.urlopen(f"{live.service.endpoints.api}/metrics", context=context) as answer:
        text: str = answer.read().decode()
    return text


def value(live: Live, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics_of(live), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def wait_for(live: Live, name: str, least: float) -> None:
    deadline = time.monotonic() + GENEROUS
    while value(live, name) < least:
        assert time.monotonic() < deadline, name
        time.sleep(0.1)


def test_messages_sessions_and_connections_show_within_seconds(live: Live, tmp_path: Path) -> None:
    with contextlib.closing(live.client()) as iot:
        credentials, topic = new_credentials(iot), unique("metrics")
    received = value(live, "thingmint_mqtt_messages_received_total")
    dropped = value(live, 'thingmint_mqtt_messages_dropped_total{reason="queue_full"}')
    with device(live, credentials, tmp_path, unique("reader")) as reader:
        accepted = 'thingmint_mqtt_connections{state="accepted"}'
        wait_for(live, accepted, 1)
        assert reader.subscribe(topic)
        for _ in range(5):
            reader.publish(topic, b"m")
        wait_for(live, "thingmint_mqtt_messages_received_total", received + 5)
        wait_for(live, "thingmint_mqtt_subscriptions", 1)
        assert value(live, 'thingmint_mqtt_sessions{state="connected"}') >= 1
        assert value(live, 'thingmint_mqtt_connections{state="unauthenticated"}') >= 0
    assert value(live, 'thingmint_mqtt_messages_dropped_total{reason="queue_full"}') == dropped
    assert value(live, "thingmint_event_loop_lag_seconds_count") > 10


def test_every_metric_is_documented_and_every_documented_one_exists(live: Live) -> None:
    shown = re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", metrics_of(live), re.MULTILINE)
    names = {name.removesuffix("_total") for name in shown if not name.endswith("_created")}
    documented = set(re.findall(r"`(thingmint_\w+)[`{]", DOCUMENTED.read_text()))
    assert documented == names


def test_the_end_of_every_certificate_of_the_service_shows(live: Live) -> None:
    found = re.findall(
        r'^thingmint_certificate_expiry_timestamp_seconds\{name="(.+)"\} ', metrics_of(live), re.MULTILINE
    )
    assert sorted(found) == ["issuing", "root", "rsa-service", "server", "service"]
