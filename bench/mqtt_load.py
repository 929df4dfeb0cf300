"""Owns the load of devices: a process of its own that sends each client its own messages back through a server.

Jobs arrive as lines of JSON on standard input, results on standard output. A client has one batch under way at a time.
What clients cost is the same for every server: a batch is encoded once, and of what comes back only frames are cut.
"""

import json
import os
import selectors
import socket
import ssl
import sys
import time
from typing import Any

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import Connect, Packet, ProtocolVersion, Publish, QoS, Subscribe, Subscription

VERSION = ProtocolVersion.MQTT_3_1_1
RECEIVE_SIZE = 65_536
ANSWER_TIMEOUT_S = 30.0
LARGEST = 200_000
PUBLISH_BITS = 0x30
TYPE_BITS = 0xF0


class Client:
    """One device: it subscribes to its own topic and publishes to it at QoS 0."""

    def __init__(self, job: dict[str, Any], context: ssl.SSLContext | None, number: int) -> None:
        port, batch, payload_bytes = job["port"], job["batch"], job["payload_bytes"]
        plain = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if context is None else context.wrap_socket(plain, server_hostname="localhost")
        self._reader = FrameReader(LARGEST)
        topic = f"bench/{number}"
        self._batch = encode(Publish(topic, bytes(payload_bytes)), VERSION) * batch
        self._batch_size = batch
        self._missing = 0
        password = job.get("password")
        secret = None if password is None else password.encode()
        self._ask(Connect(VERSION, f"bench-{number}", username=job.get("username"), password=secret))
        self._ask(Subscribe(1, (Subscription(topic, QoS.AT_MOST_ONCE),)))
        self.socket.setblocking(False)

    def send(self) -> None:
        """Send the next batch."""
        self._missing = self._batch_size
        self.socket.setblocking(True)
        self.socket.sendall(self._batch)
        self.socket.setblocking(False)

    def receive(self) -> int:
        """Take what is there, and return how many messages of the batch that makes."""
        count = 0
        while True:
            try:
                received = self.socket.recv(RECEIVE_SIZE)
            except (ssl.SSLWantReadError, BlockingIOError):
                break
            if not received:
                raise ConnectionError("the server has closed a connection")
            self._reader.feed(received)
        while (frame := self._reader.next_frame()) is not None:
            count += frame.first_byte & TYPE_BITS == PUBLISH_BITS
        self._missing -= count
        return count

    @property
    def is_complete(self) -> bool:
        """Whether the whole batch has come back."""
        return not self._missing

    def _ask(self, packet: Packet) -> None:
        self.socket.sendall(encode(packet, VERSION))
        while self._reader.next_frame() is None:
            received = self.socket.recv(RECEIVE_SIZE)
            if not received:
                raise ConnectionError("the server refuses a client")
            self._reader.feed(received)


def context_of(job: dict[str, Any]) -> ssl.SSLContext | None:
    """Return the TLS context of all clients; None if they go without."""
    if "server_pem" not in job:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(job["server_pem"])
    context.load_cert_chain(job["device_pem"], job["device_key"])
    return context


def load(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job and return how many messages came back in how many seconds."""
    context = context_of(job)
    clients = [Client(job, context, number) for number in range(job["clients"])]
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
    began_at, cpu_before, count, waiting = time.perf_counter(), time.process_time(), 0, len(clients)
    for client in clients:
        client.send()
    # The last batches are waited for, so that no slice pays for another's work.
    while waiting:
        ready = selector.select(ANSWER_TIMEOUT_S)
        if not ready:
            raise TimeoutError("messages were lost")
        for key, _ in ready:
            client = key.data
            count += client.receive()
            if client.is_complete:
                if time.perf_counter() - began_at < job["seconds"]:
                    client.send()
                else:
                    waiting -= 1
    taken = time.perf_counter() - began_at
    cpu = time.process_time() - cpu_before
    for client in clients:
        client.socket.close()
    return {"count": count, "seconds": taken, "client_us": cpu / count * 1e6}


def main() -> None:
    """Answer each line of standard input."""
    for line in sys.stdin:
        print(json.dumps(load(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
    # No destructor has anything to do that the system does not.
    sys.stdout.flush()
    os._exit(0)
