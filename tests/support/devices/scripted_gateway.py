"""Owns a TLS server that answers MQTT 5 clients as a test wants, rightly or not; knows no policies and no registry."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.support.devices.device_identities import server_identity

from thingmint.cli.simulation.target import Target
from thingmint.mqtt.codec.codec import decode_client_packet, encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import (
    ClientPacket,
    Connack,
    Connect,
    Disconnect,
    Packet,
    ProtocolVersion,
    Puback,
    Publish,
    Suback,
    Subscribe,
)
from thingmint.mqtt.codec.reason_codes import ReasonCode

V5 = ProtocolVersion.MQTT_5


@dataclass
class Talk:
    """One connection, from the server's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _frames: FrameReader = field(default_factory=lambda: FrameReader(300_000))
    _is_connected: bool = False

    async def hear(self) -> ClientPacket | None:
        """Return the next packet, None at the end."""
        while (frame := self._frames.next_frame()) is None:
            received = await self.reader.read(65_536)
            if not received:
                return None
            self._frames.feed(received)
        packet = decode_client_packet(frame, V5 if self._is_connected else None)
        self._is_connected = True
        return packet

    def say(self, *packets: Packet) -> None:
        """Send packets."""
        self.writer.write(b"".join(encode(packet, V5) for packet in packets))

    def end(self) -> None:
        """End the connection without a word."""
        self.writer.transport.abort()


Script: TypeAlias = Callable[[Talk, ClientPacket], Awaitable[None] | None]
"""Answers one packet."""


def politely(talk: Talk, packet: ClientPacket) -> None:
    """Answer as a server does that grants everything and forgets every message."""
    match packet:
        case Connect():
            talk.say(Connack(False, ReasonCode.SUCCESS))
        case Subscribe():
            talk.say(Suback(packet.packet_id, tuple(ReasonCode.GRANTED_QOS_1 for _ in packet.subscriptions)))
        case Publish():
            talk.say(Puback(packet.packet_id))
        case Disconnect():
            talk.writer.close()


@contextlib.asynccontextmanager
async def scripted_gateway(script: Script, directory: Path) -> AsyncIterator[Target]:
    """Serve with the script; it is asked for each packet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server_identity().files(directory))
    ca_file = directory / "ca.pem"
    ca_file.write_bytes(server_identity().chain_pem)
    talks: list[Talk] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        talks.append(talk)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while (packet := await talk.hear()) is not None:
                answering = script(talk, packet)
                if answering is not None:
                    await answering

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield Target("127.0.0.1", server.sockets[0].getsockname()[1], "localhost", str(ca_file))
    finally:
        server.close()
        for talk in talks:
            talk.end()
        await server.wait_closed()
