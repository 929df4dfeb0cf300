"""Several nodes on one PostgreSQL are one service to devices and operators, also when one of them is lost."""

import asyncio
import contextlib
import json
import os
import random
import signal
import ssl
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.support.clients.aws import AccessKey, IoT, Live
from tests.support.devices.live_devices import Device, device, new_credentials, unique
from tests.support.machine.soak import examples
from tests.support.services.nodes import Wire, client_of, connected_wire, context_of, eventually, nodes

from thingmint.mqtt.codec.packets import Disconnect
from thingmint.mqtt.codec.reason_codes import ReasonCode

CLIENTS, CONNECTS = examples((100, 300), (200, 20_000))
DEVICES = examples(20, 400)


def is_connected(data: IoT, client_id: str) -> bool:
    try:
        return bool(data.get_connection(clientId=client_id)["connected"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return False


def topic_of(listener: Device) -> str:
    topic: str = listener.hear().topic
    return topic


def test_clients_of_other_nodes_are_shown_reached_disconnected_and_taken_over(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 2) as (one, two):
        credentials = new_credentials(client_of(one))
        here, there = client_of(one, "iot-data"), client_of(two, "iot-data")
        client_of(one).create_thing(thingName="lamp")
        assert "another node serves this database" in one.service.log + two.service.log
        assert "with the built-in broker, messages" in one.service.log
        with device(two, credentials, tmp_path, "lamp") as lamp:
            eventually(lambda: is_connected(here, "lamp"), bool)
            shown = [each.get_connection(clientId="lamp", includeSocketInformation=True) for each in (here, there)]
            for each in shown:
                del each["ResponseMetadata"]
            assert shown[0] == shown[1]
            here.send_direct_message(clientId="lamp", topic="a/b", payload=b"1", confirmation=True)
            message = lamp.hear()
            assert (message.topic, bytes(message.payload)) == ("a/b", b"1")
            # Messages of operators reach the devices of every node.
            lamp.subscribe("to/all")
            here.publish(topic="to/all", payload=b"2", qos=1)
            assert bytes(lamp.hear().payload) == b"2"
            there.publish(topic="to/all", payload=b"3", qos=1)
            assert bytes(lamp.hear().payload) == b"3"

            with device(one, credentials, tmp_path, "lamp"):
                assert lamp.disconnected.get(timeout=60).value == ReasonCode.SESSION_TAKEN_OVER
                eventually(lambda: is_connected(there, "lamp"), bool)
        data = eventually(
            lambda: client_of(two).get_thing_connectivity_data(thingName="lamp"), lambda found: not found["connected"]
        )
        assert data["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
        with device(two, credentials, tmp_path, "lamp") as lamp:
            eventually(lambda: is_connected(here, "lamp"), bool)
            here.delete_connection(clientId="lamp")
            assert lamp.disconnected.get(timeout=60).value == ReasonCode.ADMINISTRATIVE_ACTION
        with pytest.raises(ClientError, match="No client of this id is connected"):
            here.send_direct_message(clientId="lamp", topic="a/b", payload=b"1")
        with pytest.raises(ClientError, match="No client of this id is connected"):
            here.delete_connection(clientId="lamp")


@pytest.mark.soak
def test_the_connections_of_a_node_that_is_killed_are_given_up_and_each_will_is_published_once(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 3) as (one, two, dying):
        credentials, here = new_credentials(client_of(one)), client_of(one, "iot-data")
        listeners = [Device(node, credentials, tmp_path, unique("listener")) for node in (one, two)]
        for listener in listeners:
            assert listener.is_connected()
            listener.subscribe("wills/#")
            listener.subscribe("$aws/events/presence/disconnected/+")
        names = [unique("device") for _ in range(DEVICES)]
        devices = [Device(dying, credentials, tmp_path, name, will=f"wills/{name}") for name in names]
        assert all(each.is_connected() for each in devices)
        eventually(lambda: all(is_connected(here, name) for name in names), bool)
        killed_at = time.monotonic()
        dying.service.kill()
        while any(is_connected(here, name) for name in names):
            time.sleep(0.05)
        gone_after = time.monotonic() - killed_at
        heard: list[list[str]] = [[], []]
        for listener, events in zip(listeners, heard, strict=True):
            while len(events) < 2 * len(names):
                events.append(topic_of(listener))
        # What would come twice comes now.
        time.sleep(2)
        for listener, events in zip(listeners, heard, strict=True):
            while not listener.heard.empty():
                events.append(topic_of(listener))
            assert sorted(events) == sorted(
                [f"wills/{name}" for name in names] + [f"$aws/events/presence/disconnected/{name}" for name in names]
            )
            listener.close()
        for each in devices:
            each.close()
        assert gone_after < 10
        assert "another node is lost" in one.service.log + two.service.log


def test_a_later_account_with_the_number_gets_nothing_that_another_node_learns_late_of_the_earlier_one(
    tmp_path: Path, migrated_postgresql_url: str
) -> None:
    def created(*options: str) -> tuple[str, AccessKey]:
        answer = json.loads(one.thingmint("account", "create", "--json", *options))
        return answer["Account"], AccessKey(answer["AccessKeyId"], answer["SecretAccessKey"])

    def with_key(node: Live, key: AccessKey, service: str) -> IoT:
        client = node.client(key, service)
        node.service.closers.append(client.close)
        return client

    with nodes(tmp_path, migrated_postgresql_url, 2) as (one, frozen):
        number, key = created()
        with device(frozen, key, tmp_path, "page") as page:
            assert page.subscribe("a")
            os.kill(frozen.service.process.pid, signal.SIGSTOP)
            try:
                with_key(one, key, "iot-data").publish(topic="kept", payload=b"x", qos=1, retain=True)
                one.thingmint("account", "delete", number, "--yes")
            finally:
                os.kill(frozen.service.process.pid, signal.SIGCONT)
            assert page.disconnected.get(timeout=60) is not None
        # Nodes read each other's messages in order, so this one arrives after those of the deleted account.
        client_of(one, "iot-data").publish(topic="later", payload=b"x", qos=1, retain=True)
        eventually(lambda: client_of(frozen, "iot-data").list_retained_messages()["retainedTopics"], bool)

        _, later = created("--id", number)
        with_key(one, later, "iot").create_thing(thingName="page")
        for node in (one, frozen):
            assert with_key(node, later, "iot-data").list_retained_messages()["retainedTopics"] == []
            shown = with_key(node, later, "iot").get_thing_connectivity_data(thingName="page")
            assert "timestamp" not in shown


def test_a_node_that_was_frozen_for_too_long_ends_its_connections_and_begins_anew(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 2) as (one, frozen):
        credentials, here = new_credentials(client_of(one)), client_of(one, "iot-data")
        with (
            device(one, credentials, tmp_path, "listener") as listener,
            device(frozen, credentials, tmp_path, "lamp", will="wills/lamp") as lamp,
        ):
            listener.subscribe("wills/#")
            listener.subscribe("$aws/events/presence/disconnected/lamp")
            eventually(lambda: is_connected(here, "lamp"), bool)
            os.kill(frozen.service.process.pid, signal.SIGSTOP)
            try:
                eventually(lambda: is_connected(here, "lamp"), lambda found: not found)
                told = sorted(topic_of(listener) for _ in range(2))
                assert told == ["$aws/events/presence/disconnected/lamp", "wills/lamp"]
            finally:
                os.kill(frozen.service.process.pid, signal.SIGCONT)
            assert lamp.disconnected.get(timeout=60) is not None
            eventually(lambda: frozen.service.log, lambda log: "cut off from the database" in log)
            with device(frozen, credentials, tmp_path, "lamp-2"):
                eventually(lambda: is_connected(here, "lamp-2"), bool)
            assert listener.heard.empty()


def test_events_of_a_registry_reach_the_listeners_of_every_node_once_though_their_node_is_killed_after_the_commit(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 3) as (one, two, dying):
        iot = client_of(one)
        iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": True}})
        credentials = new_credentials(iot)
        listeners = [Device(node, credentials, tmp_path, unique("listener")) for node in (one, two)]
        for listener in listeners:
            assert listener.is_connected()
            listener.subscribe("$aws/events/thing/#")
        names = [f"thing-{number}" for number in range(40)]
        made = list[str]()
        theirs = client_of(dying)
        for name in names:
            # What is acknowledged is told; of the call that the death of its node interrupts, the registry decides.
            if name == names[30]:
                dying.service.process.kill()
            with contextlib.suppress(Exception):
                theirs.create_thing(thingName=name)
                made.append(name)
        dying.service.process.wait()
        known = [each["thingName"] for each in iot.list_things(maxResults=100)["things"]]
        assert set(made) <= set(known)
        iot.create_thing(thingName="last")
        for listener in listeners:
            told = list[str]()
            while "last" not in told:
                told.append(json.loads(listener.hear().payload)["thingName"])
            assert sorted(told) == sorted([*known, "last"])
            listener.close()


async def clients_with_two_connections(
    cluster: Sequence[Live], context: ssl.SSLContext, clients: int, connects: int
) -> list[str]:
    """Connect clients at random, and return those that have more than one connection a second after the last."""
    chance, turns = random.Random(7), asyncio.Semaphore(16)
    alive: defaultdict[str, set[Wire]] = defaultdict(set)

    async def watch(client_id: str, wire: Wire) -> None:
        try:
            while (packet := await wire.next_packet()) is not None and not isinstance(packet, Disconnect):
                pass
        finally:
            alive[client_id].discard(wire)
            wire.close()

    async def connect() -> asyncio.Task[None]:
        async with turns:
            client_id = f"storm-{chance.randrange(clients)}"
            wire = await connected_wire(chance.choice(cluster), context, client_id)
            alive[client_id].add(wire)
            return asyncio.create_task(watch(client_id, wire))

    watching = await asyncio.gather(*(connect() for _ in range(connects)))
    await asyncio.sleep(1)
    twice = [client_id for client_id, wires in alive.items() if len(wires) > 1]
    # Each client that has ever connected still is.
    assert sum(map(len, alive.values())) == len(alive)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return twice


@pytest.mark.soak
def test_a_second_after_random_connects_to_three_nodes_no_client_has_two_connections(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 3) as cluster:
        credentials = new_credentials(client_of(cluster[0]))
        context = context_of(cluster[0], credentials, tmp_path)
        assert asyncio.run(clients_with_two_connections(cluster, context, CLIENTS, CONNECTS)) == []
