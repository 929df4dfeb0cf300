"""A simulated device's connection, against a server that answers what the test wants."""

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.support.devices.device_identities import server_identity
from tests.support.devices.scripted_gateway import Talk, politely, scripted_gateway

from thingmint.cli.simulation.clients import client as client_module
from thingmint.cli.simulation.clients.client import BrokerRefused, Client, ConnectionLost
from thingmint.cli.simulation.target import Target
from thingmint.mqtt.codec.packets import (
    ClientPacket,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    QoS,
    Suback,
    Subscribe,
)
from thingmint.mqtt.codec.reason_codes import ReasonCode


def context_of(target: Target) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=target.ca_file)


async def connected(target: Target) -> Client:
    return await Client.connect(target, context_of(target), "device")


async def test_refused_connect_says_why_and_leaves_no_connection(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def refuse(talk: Talk, packet: ClientPacket) -> None:
        talk.say(Connack(False, ReasonCode.NOT_AUTHORIZED))
        assert await talk.hear() is None
        ended.set()

    async with scripted_gateway(refuse, tmp_path) as target:
        with pytest.raises(BrokerRefused, match="NOT_AUTHORIZED"):
            await connected(target)
        await ended.wait()


async def test_server_with_a_certificate_of_another_ca_is_not_trusted(tmp_path: Path) -> None:
    async with scripted_gateway(politely, tmp_path) as target:
        (tmp_path / "other.pem").write_bytes(server_identity("other").chain_pem)
        context = ssl.create_default_context(cafile=str(tmp_path / "other.pem"))
        with pytest.raises(ssl.SSLCertVerificationError):
            await Client.connect(target, context, "device")


async def test_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_gateway(lambda talk, packet: None, tmp_path) as target:
        monkeypatch.setattr(client_module, "ANSWER_SECONDS", 0.2)
        with pytest.raises(TimeoutError):
            await connected(target)


async def test_filter_that_is_not_granted_is_a_refusal(tmp_path: Path) -> None:
    def grant_the_first(talk: Talk, packet: ClientPacket) -> None:
        if isinstance(packet, Subscribe):
            talk.say(Suback(packet.packet_id, (ReasonCode.GRANTED_QOS_1, ReasonCode.TOPIC_FILTER_INVALID)))
        else:
            politely(talk, packet)

    async with scripted_gateway(grant_the_first, tmp_path) as target:
        client = await connected(target)
        with pytest.raises(BrokerRefused, match="TOPIC_FILTER_INVALID"):
            await client.subscribe("a", "b")
        await client.disconnect()


async def test_message_that_is_not_taken_is_a_refusal(tmp_path: Path) -> None:
    def refuse_messages(talk: Talk, packet: ClientPacket) -> None:
        if isinstance(packet, Publish):
            talk.say(Puback(packet.packet_id, ReasonCode.NOT_AUTHORIZED))
        else:
            politely(talk, packet)

    async with scripted_gateway(refuse_messages, tmp_path) as target:
        client = await connected(target)
        with pytest.raises(BrokerRefused, match="NOT_AUTHORIZED"):
            await client.publish("a", b"payload")
        await client.disconnect()


async def test_message_reaches_whom_it_is_for_and_is_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[int] = []

    def send_three(talk: Talk, packet: ClientPacket) -> None:
        if isinstance(packet, Puback):
            acknowledged.append(packet.packet_id)
        elif isinstance(packet, Subscribe):
            politely(talk, packet)
            talk.say(
                Publish("others", b"0"),
                Publish("b", b"1", QoS.AT_LEAST_ONCE, packet_id=7),
                Publish("a", b"2", QoS.AT_LEAST_ONCE, packet_id=8),
            )
        else:
            politely(talk, packet)

    async with scripted_gateway(send_three, tmp_path) as target:
        client = await connected(target)
        given_up = client.expect(lambda message: message.topic == "b")
        given_up.cancel()
        first = client.expect(lambda message: message.topic == "a")
        second = client.expect(lambda message: message.topic == "b")
        await client.subscribe("#")
        assert [message.payload for message in await asyncio.gather(first, second)] == [b"2", b"1"]
        await client.publish("a", b"The answer comes after the acknowledgements.")
        assert acknowledged == [7, 8]
        await client.disconnect()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Disconnect(ReasonCode.SESSION_TAKEN_OVER), "SESSION_TAKEN_OVER"),
        (None, "closed by the service"),
    ],
    ids=["with a word", "without"],
)
async def test_whatever_waits_learns_that_the_connection_is_lost(
    tmp_path: Path, answer: Disconnect | None, why: str
) -> None:
    def end_it(talk: Talk, packet: ClientPacket) -> None:
        if not isinstance(packet, Publish):
            return politely(talk, packet)
        if answer is not None:
            talk.say(answer)
        talk.writer.close()
        return None

    async with scripted_gateway(end_it, tmp_path) as target:
        client = await connected(target)
        message = client.expect(lambda _: True)
        with pytest.raises(ConnectionLost, match=why):
            await client.publish("a", b"")
        with pytest.raises(ConnectionLost, match=why):
            await message
        with pytest.raises(ConnectionLost, match=why):
            await client.subscribe("a")
        with pytest.raises(ConnectionLost, match=why):
            await client.expect(lambda _: True)
        assert client.why_lost == why
        await client.disconnect()


async def test_what_is_no_mqtt_ends_the_connection(tmp_path: Path) -> None:
    def babble(talk: Talk, packet: ClientPacket) -> None:
        if isinstance(packet, Connect):
            politely(talk, packet)
        else:
            talk.writer.write(b"\x00\x00")

    async with scripted_gateway(babble, tmp_path) as target:
        client = await connected(target)
        with pytest.raises(ConnectionLost, match="MALFORMED_PACKET"):
            await client.publish("a", b"")
        await client.abort()


async def test_idle_device_stays_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pings: asyncio.Queue[None] = asyncio.Queue()

    def note_pings(talk: Talk, packet: ClientPacket) -> None:
        if isinstance(packet, Pingreq):
            pings.put_nowait(None)
            talk.say(Pingresp())
        else:
            politely(talk, packet)

    monkeypatch.setattr(client_module, "_PING_SECONDS", 0.01)
    async with scripted_gateway(note_pings, tmp_path) as target:
        client = await connected(target)
        for _ in range(3):
            await pings.get()
        await client.disconnect()
        assert client.ended.done()
