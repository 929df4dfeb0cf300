"""Clients that speak something else on the port of devices are refused, and the log says what they spoke."""

import logging
import socket
from collections.abc import Iterator

import pytest
from tests.support.devices.tls_echo import EchoServer, echo_server
from tests.support.machine.loop_thread import GENEROUS, LOOPS

from thingmint.mqtt.transport.plaintext_clients import PlaintextClients

CONNECT = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06device"


@pytest.fixture(params=sorted(LOOPS))
def server(request: pytest.FixtureRequest) -> Iterator[EchoServer]:
    with echo_server(loop_name=str(request.param)) as running:
        yield running


@pytest.mark.parametrize(
    ("beginning", "spoken"), [(CONNECT, "MQTT without TLS"), (b"GET / HTTP/1.1\r\n\r\n", "HTTP without TLS")]
)
def test_plain_protocols_are_named_in_the_log(
    server: EchoServer, caplog: pytest.LogCaptureFixture, beginning: bytes, spoken: str
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS) as client:
                client.sendall(beginning)
                while client.recv(100):
                    pass
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith(spoken)
    assert lines[0].endswith("1 connections, the last from 127.0.0.1")


def test_lines_are_a_minute_apart_and_count(caplog: pytest.LogCaptureFixture) -> None:
    clients = PlaintextClients()
    with caplog.at_level(logging.WARNING):
        for now in (0.0, 1.0, 2.0, 60.0):
            clients.count("192.0.2.1", CONNECT, now)
        clients.count("192.0.2.1", b"\x16", 200.0)
    assert [record.getMessage().partition("certificates: ")[2][0] for record in caplog.records] == ["1", "3"]
