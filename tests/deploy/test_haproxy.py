"""The balancer of `deploy/haproxy` carries the addresses of clients, and nobody else can."""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from pathlib import Path

from tests.support.clients.aws import Live
from tests.support.devices.live_devices import new_credentials
from tests.support.services.haproxy import BALANCER, Balancer, haproxy
from tests.support.services.nodes import Wire, client_of, context_of
from tests.support.services.service import running_service

from thingmint.mqtt.codec.packets import Connack, Connect, ProtocolVersion

CLIENT = "127.0.0.9"
FORGED = b"PROXY TCP4 192.0.2.66 192.0.2.1 1 8883\r\n"


async def connected_from(address: str, balancer: Balancer, context: ssl.SSLContext, client_id: str) -> Wire:
    """Return a device that reaches the balancer from this address."""
    stream = await asyncio.open_connection(
        "127.0.0.1", balancer.mqtt_port, ssl=context, server_hostname="localhost", local_addr=(address, 0)
    )
    wire = Wire(*stream)
    wire.send(Connect(ProtocolVersion.MQTT_5, client_id))
    answer = await wire.next_packet()
    assert isinstance(answer, Connack)
    assert not answer.reason_code.is_failure
    return wire


def page(port: int, ca_file: Path, source: str, before: bytes = b"", path: str = "/nowhere") -> bytes:
    """Return the answer to a request, or nothing if the connection ends before."""
    with socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0)) as plain:
        plain.sendall(before)
        try:
            with ssl.create_default_context(cafile=ca_file).wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
                return b"".join(iter(lambda: tls.recv(65_536), b""))
        except OSError:
            return b""


async def is_admitted(port: int, context: ssl.SSLContext) -> bool:
    """Return whether the balancer lets a new connection through to a node."""
    try:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost", local_addr=(CLIENT, 0)
        )
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def test_a_fleet_behind_one_address_that_tries_again_and_again_comes_in_little_by_little(tmp_path: Path) -> None:
    fewer = {"conn_rate(10s)": "conn_rate(1s)", "gt 500": "gt 5"}
    options = ("--mqtt", "127.0.0.1:0", "--proxy-protocol", BALANCER)
    with running_service(tmp_path / "node", *options, key_reserve=0) as service:
        node = Live(service, None)
        context = ssl.create_default_context(cafile=node.ca_file)
        with haproxy(tmp_path, [node], fewer) as balancer:
            began, admitted, tries = time.monotonic(), list[float](), 0
            while (now := time.monotonic() - began) < 5:
                admitted += [now] if await is_admitted(balancer.mqtt_port, context) else []
                tries += 1
                await asyncio.sleep(0.01)
    # Several times as many as are admitted, all the time.
    assert tries > 100
    assert len(admitted) < 50
    assert len([each for each in admitted if each > 2]) >= 6


async def test_addresses_of_clients_survive_the_balancer_and_cannot_be_forged(tmp_path: Path) -> None:
    options = ("--mqtt", "127.0.0.1:0", "--proxy-protocol", BALANCER, "--log-format", "json")
    with running_service(tmp_path / "node", *options, key_reserve=1) as service:
        node = Live(service, None)
        credentials = new_credentials(client_of(node))
        _, _, api_port = service.endpoints.api.rpartition(":")
        with haproxy(tmp_path, [node]) as balancer:
            wire = await connected_from(CLIENT, balancer, context_of(node, credentials, tmp_path), "lamp")
            data = client_of(node, "iot-data")
            shown = await asyncio.to_thread(data.get_connection, clientId="lamp", includeSocketInformation=True)
            assert (shown["sourceIp"], shown["sourcePort"]) == wire.writer.get_extra_info("sockname")
            assert (shown["targetIp"], shown["targetPort"]) == ("127.0.0.1", balancer.mqtt_port)
            wire.close()
            assert b" 400 " in await asyncio.to_thread(page, balancer.api_port, node.ca_file, CLIENT)
        # Those who are no balancer connect without a header, and a header of theirs is an error.
        assert b" 400 " in page(int(api_port), node.ca_file, "127.0.0.8")
        assert page(int(api_port), node.ca_file, "127.0.0.8", FORGED) == b""
        assert page(service.endpoints.mqtt_port, node.ca_file, "127.0.0.8", FORGED) == b""
        # A balancer cannot leave the header out.
        assert page(int(api_port), node.ca_file, BALANCER) == b""
        metrics = page(int(api_port), node.ca_file, "127.0.0.8", path="/metrics").decode()
        assert 'thingmint_proxy_headers_refused_total{listener="api"} 1.0' in metrics
        lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
        clients = [line["source"] for line in lines if line["event"] == "request" and line.get("status") == 400]
        assert clients == [CLIENT, "127.0.0.8"]
        assert "192.0.2.66" not in service.log
        assert "API connections from networks of proxy_protocol were closed: 1" in service.log
