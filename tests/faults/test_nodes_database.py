"""What several nodes do when the database between them is away, has crashed, or is behind a pooler."""

import json
import os
from pathlib import Path

import pytest
from tests.clients.test_device_metrics import value
from tests.faults.test_nodes import is_connected
from tests.support.console.console_pages import Pages
from tests.support.databases.pgbouncer import pgbouncer
from tests.support.databases.postgresql import PostgreSQLCluster
from tests.support.devices.live_devices import device, is_admitted, new_credentials
from tests.support.services.nodes import another_node, client_of, eventually, nodes

from thingmint.mqtt.codec.reason_codes import ReasonCode


@pytest.mark.skipif("THINGMINT_TEST_POSTGRESQL_URL" in os.environ, reason="the server is not the test's to stop")
@pytest.mark.parametrize("crashes", [False, True], ids=["stopped", "crashed"])
def test_devices_stay_connected_while_the_database_is_away_and_are_known_afterwards(
    tmp_path: Path,
    postgresql_cluster: PostgreSQLCluster,
    stoppable_postgresql_url: str,
    crashes: bool,
) -> None:
    with nodes(tmp_path, stoppable_postgresql_url, 2) as (one, two):
        iot = client_of(one)
        credentials, doomed = new_credentials(iot), new_credentials(iot)
        with (
            device(one, credentials, tmp_path, "lamp") as lamp,
            device(two, credentials, tmp_path, "switch") as switch,
            device(two, doomed, tmp_path, "doomed") as revoked,
        ):
            here, there = client_of(one, "iot-data"), client_of(two, "iot-data")
            eventually(lambda: is_connected(here, "switch") and is_connected(there, "lamp"), bool)
            lamp.subscribe("room")
            (postgresql_cluster.crash if crashes else postgresql_cluster.stop)()
            try:
                for number in range(3):
                    assert lamp.publish("room", str(number).encode()) == "Success"
                    assert bytes(lamp.hear().payload) == str(number).encode()
            finally:
                postgresql_cluster.start()
            eventually(lambda: client_of(one, attempts=10).list_things(), bool)
            eventually(lambda: is_connected(here, "switch") and is_connected(there, "lamp"), bool)
            assert lamp.disconnected.empty()
            assert switch.disconnected.empty()
            # The connections that listen are made again, and nothing was missed.
            client_of(one, attempts=10).update_certificate(certificateId=doomed.certificate_id, newStatus="REVOKED")
            assert revoked.disconnected.get(timeout=60) is not None
            for node in (one, two):
                assert "is lost: its connections are given up" not in node.service.log
                assert "cut off from the database" not in node.service.log


def test_nodes_behind_a_pooler_by_transaction_are_one_service(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with (
        pgbouncer(migrated_postgresql_url) as pooled,
        nodes(tmp_path, pooled, 2, "--database-statement-cache", "0", "--database-pool", "4") as (one, two),
    ):
        iot = client_of(one)
        credentials = new_credentials(iot)
        with device(one, credentials, tmp_path, "lamp") as lamp:
            there = client_of(two, "iot-data")
            eventually(lambda: is_connected(there, "lamp"), bool)
            there.send_direct_message(clientId="lamp", topic="a", payload=b"1", confirmation=True)
            assert bytes(lamp.hear().payload) == b"1"
            with device(two, credentials, tmp_path, "lamp") as taken:
                assert lamp.disconnected.get(timeout=60).value == ReasonCode.SESSION_TAKEN_OVER
                iot.update_certificate(certificateId=credentials.certificate_id, newStatus="REVOKED")
                assert taken.disconnected.get(timeout=60) is not None
        assert not is_admitted(two, credentials, tmp_path)


def test_nodes_with_other_settings_are_listed_and_reported(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 1) as (one,):
        buckets = tmp_path / "buckets"
        buckets.mkdir()
        other = another_node(tmp_path, one, "other", "--registration-dir", str(buckets))
        try:
            eventually(lambda: one.service.log, lambda log: "a node has other settings than this one" in log)
            assert "registration_dir" in one.service.log
            listed = [json.loads(line) for line in one.thingmint("node", "list", "--json").splitlines()]
            assert [each["otherSettings"] for each in listed] == [[], ["registration_dir"]]
            assert [each["name"].rpartition("/")[2] for each in listed] == ["node-0", "other"]
            shown = one.thingmint("node", "list")
            assert "registration_dir" in shown
            page = Pages(one).sign_in(one.administrator).get("/nodes").text
            assert "<strong>registration_dir</strong>" in page
            assert "Devices are served by the built-in broker." in page
            assert "has other settings: registration_dir" in Pages(one).sign_in(one.administrator).get("").text
            eventually(lambda: value(one, "thingmint_nodes"), lambda count: count == 2)
            said = one.thingmint("doctor")
            assert "the database is PostgreSQL 1" in said
            assert "nodes that serve the database: 2" in said
            assert "has other settings: registration_dir" in said
            assert "with the built-in broker, messages, retained messages and sessions" in said
        finally:
            other.terminate()
        eventually(lambda: one.thingmint("node", "list", "--json").splitlines(), lambda lines: len(lines) == 1)
        eventually(lambda: value(one, "thingmint_nodes"), lambda count: count == 1)
