"""Two nodes on one PostgreSQL with one broker behind both: a device is told why it was disconnected, once."""

import os
from pathlib import Path

from tests.faults.test_nodes import is_connected
from tests.support.brokers.mosquitto import mosquitto
from tests.support.console.console_pages import Pages
from tests.support.devices.live_devices import device, new_credentials
from tests.support.services.forked import run_thingmint
from tests.support.services.nodes import client_of, eventually, nodes

from thingmint.mqtt.codec.reason_codes import ReasonCode


def test_device_taken_over_on_another_node_is_told_so_though_the_broker_merely_closes(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with (
        mosquitto() as broker,
        nodes(tmp_path, migrated_postgresql_url, 2, "--mqtt-data-plane", broker.address) as (one, two),
    ):
        credentials = new_credentials(client_of(one))
        here, there = client_of(one, "iot-data"), client_of(two, "iot-data")
        assert "speaks MQTT 5" in one.service.log
        with device(two, credentials, tmp_path, "lamp") as lamp:
            eventually(lambda: is_connected(here, "lamp"), bool)
            lamp.subscribe("to/all")
            # The broker passes it on to both nodes' devices, so other nodes must not publish it again.
            for number in range(3):
                here.publish(topic="to/all", payload=b"%d" % number, qos=1)
            assert [bytes(lamp.hear().payload) for _ in range(3)] == [b"0", b"1", b"2"]
            here.publish(topic="kept", payload=b"on", qos=1, retain=True)
            kept = there.get_retained_message(topic="kept")
            assert (kept["payload"], kept["qos"], "lastModifiedTime" in kept) == (b"on", 1, False)
            with device(one, credentials, tmp_path, "lamp"):
                assert lamp.disconnected.get(timeout=60).value == ReasonCode.SESSION_TAKEN_OVER
        environment = {**os.environ, "THINGMINT_MQTT_DATA_PLANE": f"{broker.address},unix:/nonexistent/node"}
        said = run_thingmint("doctor", *one.database_options, environment=environment).stdout
        assert "of account 000000000000 speaks MQTT 5" in said
        assert "wrong    the broker at unix:/nonexistent/node does not answer" in said
        shown = Pages(one).sign_in(one.administrator).get("/nodes").text
        assert shown.count("<strong>(this node)</strong>") == 1
        assert all(str(each.service.data_dir) in shown for each in (one, two))
        assert f'<td class="code">{broker.address}</td><td>MQTT 5</td><td>nothing</td>' in shown
