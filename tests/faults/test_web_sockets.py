"""WebSockets of a service on several nodes, of one that stops, and of one that is killed."""

import json
import signal
import time
from pathlib import Path

import pytest
from tests.support.clients.aws import Live, allow, policy
from tests.support.devices.live_devices import GENEROUS, device, new_credentials, unique
from tests.support.services.nodes import client_of, nodes
from tests.support.services.service import running_service

EVERYTHING = policy(allow("iot:*"))
# Other nodes hear of a change by a notification, and otherwise look each second.
SOON = 5.0


def test_the_end_of_a_key_ends_its_connections_to_every_node(tmp_path: Path, migrated_postgresql_url: str) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 2) as (one, two):
        key, staying = one.create_access_key(EVERYTHING), one.create_access_key(EVERYTHING)
        with (
            device(one, key, tmp_path, unique("one")) as first,
            device(two, key, tmp_path, unique("two")) as second,
            device(two, staying, tmp_path, unique("staying")) as other,
        ):
            begun = time.monotonic()
            one.thingmint("access-key", "delete", key.access_key_id)
            for each in (first, second):
                assert str(each.disconnected.get(timeout=GENEROUS)) == "Administrative action"
            assert time.monotonic() - begun < SOON
            assert other.subscribe("a")


def test_a_client_that_connects_to_another_node_leaves_the_first(tmp_path: Path, migrated_postgresql_url: str) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 2) as (one, two):
        key, certificate = one.create_access_key(EVERYTHING), new_credentials(client_of(one))
        with device(one, key, tmp_path, "taken") as page, device(two, certificate, tmp_path, "taken") as lamp:
            assert str(page.disconnected.get(timeout=GENEROUS)) == "Session taken over"
            with device(one, key, tmp_path, "taken"):
                assert str(lamp.disconnected.get(timeout=GENEROUS)) == "Session taken over"


@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_clients_of_a_lost_node_are_reported_and_their_wills_are_decided(
    tmp_path: Path, migrated_postgresql_url: str, is_deleted: bool
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 2) as (one, two):
        key, certificate = one.create_access_key(EVERYTHING), new_credentials(client_of(one))
        with device(one, certificate, tmp_path, "listener") as listener:
            assert listener.subscribe("$aws/events/presence/+/page")
            assert listener.subscribe("will")
            assert listener.subscribe("done")
            with device(two, key, tmp_path, "page", will="will"):
                connected = json.loads(listener.hear().payload)
                if is_deleted:
                    two.service.process.send_signal(signal.SIGSTOP)
                    one.thingmint("access-key", "delete", key.access_key_id)
                two.service.kill()
                heard = [listener.hear()]
                if not is_deleted:
                    heard.append(listener.hear())
            topics = {message.topic: message.payload for message in heard}
            ended = json.loads(topics["$aws/events/presence/disconnected/page"])
            assert ended["principalIdentifier"] == connected["principalIdentifier"]
            assert ("will" in topics) is not is_deleted
            if is_deleted:
                one.service.wait_for_log("a will is not published: ACCESS_KEY_INVALID (principal AIDA")


def test_the_stop_of_the_service_is_told_to_clients(tmp_path: Path) -> None:
    with running_service(tmp_path / "data", "--mqtt", "127.0.0.1:0") as service:
        live = Live(service, None)
        with device(live, live.create_access_key(EVERYTHING), tmp_path, "page") as page:
            assert service.terminate() == 0
            assert str(page.disconnected.get(timeout=GENEROUS)) == "Server shutting down"


def test_a_service_without_tls_serves_web_sockets_without_tls(tmp_path: Path) -> None:
    with running_service(tmp_path / "data", "--mqtt", "127.0.0.1:0", "--insecure-http") as service:
        live = Live(service, None)
        with device(live, live.create_access_key(EVERYTHING), tmp_path, "page") as page:
            assert page.subscribe("a")
            page.client.publish("a", b"on", qos=1)
            assert page.hear().payload == b"on"
