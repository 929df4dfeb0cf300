"""Owns a broker that accepts connections and answers each kind of packet as a test says, in either version of MQTT."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from thingmint.mqtt.codec.codec import UNSUPPORTED_VERSION_ANSWER, decode_client_packet, encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import (
    ClientPacket,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    ProtocolVersion,
    Puback,
    Publish,
    ServerPacket,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from thingmint.mqtt.codec.reason_codes import ReasonCode

V5 = ProtocolVersion.MQTT_5
ACCEPTED = Connack(False, ReasonCode.SUCCESS)


@dataclass
class ScriptedBroker:
    """Accepts connections and answers each kind of packet as the test says."""

    path: str
    connack: Connack = ACCEPTED
    speaks: ProtocolVersion = V5
    answers: dict[type[ClientPacket], Callable[[ClientPacket], list[ServerPacket]]] = field(default_factory=dict)
    heard: list[ClientPacket] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames, version = FrameReader(200_000), None
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing() and (received := await reader.read(65_536)):
                frames.feed(received)
                while (frame := frames.next_frame()) is not None:
                    packet = decode_client_packet(frame, version)
                    self.heard.append(packet)
                    if version is None and isinstance(packet, Connect) and packet.version is not self.speaks:
                        writer.write(UNSUPPORTED_VERSION_ANSWER)
                        writer.close()
                        break
                    version = self.speaks
                    if isinstance(packet, Disconnect):
                        writer.close()
                        break
                    writer.write(b"".join(encode(each, self.speaks) for each in self._answer(packet)))
        writer.close()

    def say(self, *packets: ServerPacket) -> None:
        self.writers[-1].write(b"".join(encode(packet, self.speaks) for packet in packets))

    def reading(self, on: bool) -> None:
        """Stop or go on to read what the last connection sends."""
        transport = self.writers[-1].transport
        assert isinstance(transport, asyncio.Transport)
        if on:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _answer(self, packet: ClientPacket) -> list[ServerPacket]:
        if type(packet) in self.answers:
            return self.answers[type(packet)](packet)
        match packet:
            case Connect():
                return [self.connack]
            case Publish() if packet.qos:
                return [Puback(packet.packet_id)]
            case Subscribe():
                return [Suback(packet.packet_id, (ReasonCode.GRANTED_QOS_1,) * len(packet.subscriptions))]
            case Unsubscribe():
                return [Unsuback(packet.packet_id, (ReasonCode.NO_SUBSCRIPTION_EXISTED,) * len(packet.topic_filters))]
            case Pingreq():
                return [Pingresp()]
        return []

    async def heard_all(self, count: int) -> None:
        """Wait until so many packets were heard."""
        await until(lambda: len(self.heard) >= count)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the condition sets no event
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def scripted_broker() -> AsyncIterator[ScriptedBroker]:
    with tempfile.TemporaryDirectory(prefix="broker-") as directory:
        broker = ScriptedBroker(str(Path(directory) / "s"))
        server = await asyncio.start_unix_server(broker.serve, broker.path)
        async with server:
            yield broker
            for writer in broker.writers:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
