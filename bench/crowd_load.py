"""Owns the load of a crowd of devices: a process of its own with many connections that hears messages and acknowledges.

Jobs arrive as lines of JSON on standard input, results on standard output. The first job connects; the others follow on
the same connections. What clients cost is the same for every server.
"""

import json
import os
import selectors
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import (
    Connect,
    Packet,
    ProtocolVersion,
    Publish,
    QoS,
    Subscribe,
    Subscription,
    Unsubscribe,
)

VERSION = ProtocolVersion.MQTT_3_1_1
RECEIVE_SIZE = 65_536
PATIENCE_S = 60.0
LARGEST = 200_000
TYPE_BITS, PUBLISH, PUBACK, SUBACK = 0xF0, 0x30, 0x40, 0x90
QOS_BITS = 0x06
ALL, WORK = "bench/all", "bench/work"
FILTERS_EACH, FILTERS_AT_ONCE = 48, 8


def context_of(job: dict[str, Any]) -> ssl.SSLContext:
    """Return the TLS context of all clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(job["server_pem"])
    context.load_cert_chain(job["device_pem"], job["device_key"])
    return context


class Client:
    """One device; how many packets of each kind it has heard is counted, alone or together with others."""

    def __init__(self, port: int, context: ssl.SSLContext, name: str, heard: Counter[int]) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self._reader = FrameReader(LARGEST)
        self.heard = heard
        self.ask(Connect(VERSION, name))

    def ask(self, packet: Packet) -> None:
        """Send a packet and wait for one."""
        self.send(encode(packet, VERSION))
        while self._reader.next_frame() is None:
            received = self.socket.recv(RECEIVE_SIZE)
            if not received:
                raise ConnectionError("the server refuses a client")
            self._reader.feed(received)

    def send(self, data: bytes) -> None:
        """Send bytes, waiting if need be."""
        self.socket.setblocking(True)
        self.socket.sendall(data)

    def receive(self) -> None:
        """Take what is there, and acknowledge messages."""
        answers = bytearray()
        self.socket.setblocking(False)
        while True:
            try:
                received = self.socket.recv(RECEIVE_SIZE)
            except (ssl.SSLWantReadError, BlockingIOError):
                break
            if not received:
                raise ConnectionError("the server has closed a connection")
            self._reader.feed(received)
        while (frame := self._reader.next_frame()) is not None:
            kind = frame.first_byte & TYPE_BITS
            self.heard[kind] += 1
            if kind == PUBLISH and frame.first_byte & QOS_BITS:
                at = 2 + int.from_bytes(frame.body[:2], "big")
                answers += b"\x40\x02" + frame.body[at : at + 2]
        if answers:
            self.send(bytes(answers))


class Crowd:
    """The connections, and what is done with them."""

    def __init__(self, job: dict[str, Any]) -> None:
        context, port, name = context_of(job), job["port"], f"bench-{os.getpid()}"
        self._publisher = Client(port, context, f"{name}-publisher", Counter())
        self._heard: Counter[int] = Counter()
        self._clients = [Client(port, context, f"{name}-{number}", self._heard) for number in range(job["clients"])]
        self._selector = selectors.DefaultSelector()
        for client in (self._publisher, *self._clients):
            self._selector.register(client.socket, selectors.EVENT_READ, client)
        self._published = 0

    def subscribe(self, job: dict[str, Any]) -> dict[str, Any]:
        """Let everyone subscribe to a filter."""
        for client in self._clients:
            client.ask(Subscribe(1, (Subscription(job["filter"], QoS.AT_LEAST_ONCE),)))
        return {}

    def unsubscribe(self, job: dict[str, Any]) -> dict[str, Any]:
        """Let everyone end the subscription."""
        for client in self._clients:
            client.ask(Unsubscribe(1, (job["filter"],)))
        return {}

    def publish(self, job: dict[str, Any]) -> dict[str, Any]:
        """Publish so many messages, so many unacknowledged at once, and wait for ``each`` deliveries of each."""
        count, window = int(job["count"]), int(job["window"])
        wanted = count * int(job["each"])
        heard, acknowledged = self._heard[PUBLISH], self._publisher.heard[PUBACK]
        before, cpu_before = time.perf_counter(), time.process_time()
        sent = 0

        def is_done() -> bool:
            nonlocal sent
            while sent < count and sent - (self._publisher.heard[PUBACK] - acknowledged) < window:
                self._publisher.send(self._message(job))
                sent += 1
            arrived = self._heard[PUBLISH] - heard
            return arrived >= wanted and self._publisher.heard[PUBACK] - acknowledged >= count

        self._run(is_done)
        taken = time.perf_counter() - before
        return {"events": wanted, "seconds": taken, "client_s": time.process_time() - cpu_before}

    def filters(self, job: dict[str, Any]) -> dict[str, Any]:
        """Let everyone add filters, all clients at once, and wait for every answer."""
        del job
        before, answered = time.perf_counter(), self._heard[SUBACK]
        requests = range(0, FILTERS_EACH, FILTERS_AT_ONCE)
        for client in self._clients:
            packets = [
                Subscribe(2, tuple(Subscription(f"bench/{first + n}/+/{n}") for n in range(FILTERS_AT_ONCE)))
                for first in requests
            ]
            client.send(b"".join(encode(packet, VERSION) for packet in packets))
        wanted = answered + len(requests) * len(self._clients)
        self._run(lambda: self._heard[SUBACK] >= wanted)
        return {"events": FILTERS_EACH * len(self._clients), "seconds": time.perf_counter() - before}

    def _message(self, job: dict[str, Any]) -> bytes:
        self._published = self._published % 0xFFFF + 1
        message = Publish(job["topic"], bytes(job["payload_bytes"]), QoS.AT_LEAST_ONCE, packet_id=self._published)
        return encode(message, VERSION)

    def _run(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            ready = self._selector.select(PATIENCE_S)
            if not ready:
                raise TimeoutError("messages were lost")
            for key, _ in ready:
                key.data.receive()


def bystand(job: dict[str, Any]) -> dict[str, Any]:
    """Measure a message's way through the server and back, twenty times a second, until standard input says stop."""
    client = Client(job["port"], context_of(job), f"bench-{os.getpid()}-bystander", Counter())
    topic = f"bench/by/{os.getpid()}"
    client.ask(Subscribe(1, (Subscription(topic),)))
    message, taken = encode(Publish(topic, b"x"), VERSION), []
    selector = selectors.DefaultSelector()
    selector.register(client.socket, selectors.EVENT_READ)
    until = time.perf_counter() + job["seconds"]
    while (now := time.perf_counter()) < until:
        before = client.heard[PUBLISH]
        client.send(message)
        while client.heard[PUBLISH] == before:
            if not selector.select(PATIENCE_S):
                raise TimeoutError("a message was lost")
            client.receive()
        taken.append(time.perf_counter() - now)
        time.sleep(0.05)
    taken.sort()
    return {"p50_ms": taken[len(taken) // 2] * 1000, "max_ms": taken[-1] * 1000, "n": len(taken)}


def main() -> None:
    """Answer each line of standard input."""
    crowd: Crowd | None = None
    for line in sys.stdin:
        job = json.loads(line)
        if job["do"] == "bystand":
            answer = bystand(job)
        elif job["do"] == "connect":
            crowd, answer = Crowd(job), {}
        else:
            assert crowd is not None, "the first job connects"
            answer = getattr(crowd, job["do"])(job)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
    # No destructor has anything to do that the system does not.
    sys.stdout.flush()
    os._exit(0)
