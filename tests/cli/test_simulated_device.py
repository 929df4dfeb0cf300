"""The life of simulated devices, against a server that plays the provisioning API as a test wants."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.devices.device_identities import Identity, new_identity
from tests.support.devices.scripted_gateway import Script, Talk, politely, scripted_gateway

from thingmint.cli.simulation import crowd
from thingmint.cli.simulation.clients import client as client_module
from thingmint.cli.simulation.clients import device as device_module
from thingmint.cli.simulation.clients.device import Orders, SimulatedDevice
from thingmint.cli.simulation.clients.identity import Identity as ClientIdentity
from thingmint.cli.simulation.crowd import Schedule
from thingmint.cli.simulation.measures import Measures, Step
from thingmint.cli.simulation.target import Target
from thingmint.mqtt.codec.packets import ClientPacket, Connack, Connect, Disconnect, Puback, Publish, QoS
from thingmint.mqtt.codec.reason_codes import ReasonCode

ISSUED = new_identity()
KEYS = "$aws/certificates/create/json"
CSR = "$aws/certificates/create-from-csr/json"
REGISTER = "$aws/provisioning-templates/template/provision/json"
GIVEN = {
    "certificateId": "1234",
    "certificatePem": ISSUED.chain_pem.decode(),
    "privateKey": ISSUED.key_pem.decode(),
    "certificateOwnershipToken": "token",
}


class Provisioner:
    """A server that provisions devices and sends every other message back to its sender."""

    def __init__(self, *rejections: tuple[str, Mapping[str, object]]) -> None:
        self.rejections = list(rejections)
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.clients: list[str] = []
        self.sent: list[str] = []
        self.connected = 0
        self.most = 0

    def __call__(self, talk: Talk, packet: ClientPacket) -> None:
        match packet:
            case Connect():
                self.clients.append(packet.client_id)
                self.connected += 1
                self.most = max(self.most, self.connected)
            case Disconnect():
                self.connected -= 1
            case Publish() if packet.topic.startswith("$aws"):
                politely(talk, packet)
                return self._answer(talk, packet)
            case Publish():
                self.sent.append(packet.topic)
                politely(talk, packet)
                return talk.say(Publish(packet.topic, packet.payload, QoS.AT_LEAST_ONCE, packet_id=1))
        return politely(talk, packet)

    def _answer(self, talk: Talk, packet: Publish) -> None:
        self.asked.append((packet.topic, json.loads(packet.payload)))
        if self.rejections and self.rejections[0][0] == packet.topic:
            talk.say(Publish(f"{packet.topic}/rejected", json.dumps(self.rejections.pop(0)[1]).encode()))
            return
        answer = {"thingName": self.asked[-1][1]["parameters"]["Serial"]} if packet.topic == REGISTER else GIVEN  # type: ignore[index] # parsed JSON
        talk.say(Publish(f"{packet.topic}/accepted", json.dumps(answer).encode()))


def orders_for(target: Target, *, with_csr: bool = False, identity: Identity = ISSUED) -> Orders:
    claim = ClientIdentity(identity.chain_pem.decode(), identity.key_pem.decode()).tls_context(target)
    return Orders(target, claim, "template", {"Serial": "{device}"}, "{thing}/simulated", with_csr)


async def lived(script: Script, directory: Path, schedule: Schedule, count: int = 1) -> tuple[Measures, list[str]]:
    """Let devices live, and return what was measured and the phases that have ended."""
    measures, phases = Measures(), list[str]()
    async with scripted_gateway(script, directory) as target:
        orders = orders_for(target)
        await crowd.run([SimulatedDevice(f"d{at}", orders, measures) for at in range(count)], schedule, phases.append)
    return measures, phases


async def test_device_is_provisioned_returns_with_its_own_name_and_hears_itself(tmp_path: Path) -> None:
    server = Provisioner()
    measures, phases = await lived(server, tmp_path, Schedule(1))
    assert not measures.errors
    assert server.clients == ["d0", "d0"]
    assert server.asked == [
        (KEYS, {}),
        (REGISTER, {"certificateOwnershipToken": "token", "parameters": {"Serial": "d0"}}),
    ]
    assert server.sent == ["d0/simulated"]
    assert server.connected == 0
    assert phases == ["begin"]
    steps = (Step.CONNECT, Step.KEYS, Step.REGISTER, Step.RECONNECT, Step.PROVISIONED, Step.PUBACK, Step.ROUND_TRIP)
    assert [measures.count(step) for step in steps] == [1] * len(steps)


async def test_device_may_bring_its_own_key(tmp_path: Path) -> None:
    server, measures = Provisioner(), Measures()
    async with scripted_gateway(server, tmp_path) as target:
        device = SimulatedDevice("d0", orders_for(target, with_csr=True), measures)
        await device.begin()
        await device.abort()
    assert [topic for topic, _ in server.asked] == [CSR, REGISTER]
    assert str(server.asked[0][1]["certificateSigningRequest"]).startswith("-----BEGIN CERTIFICATE REQUEST")
    # The certificate that this server gives is for another key than the device's.
    assert measures.errors == {(Step.RECONNECT, "TLS: KEY_VALUES_MISMATCH"): 1}


async def test_busy_provisioning_is_asked_again_and_only_the_last_attempt_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "_FIRST_PAUSE_SECONDS", 0.0)
    busy = {"statusCode": 429, "errorCode": "Throttled", "errorMessage": ""}
    measures, _ = await lived(Provisioner((KEYS, busy), (KEYS, busy), (REGISTER, busy)), tmp_path, Schedule(1))
    assert not measures.errors
    assert measures.throttled == 3
    assert measures.count(Step.KEYS) == 1


async def test_provisioning_that_stays_busy_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(device_module, "_MOST_ATTEMPTS", 3)
    measures, _ = await lived(Provisioner(*[(KEYS, {"errorCode": "Throttled"})] * 9), tmp_path, Schedule(1))
    assert measures.errors == {(Step.KEYS, "Throttled"): 1}
    assert measures.throttled == 3


async def test_refusal_ends_one_device_and_not_the_others(tmp_path: Path) -> None:
    server = Provisioner((REGISTER, {"statusCode": 403, "errorCode": "AccessDenied", "errorMessage": ""}))
    measures, phases = await lived(server, tmp_path, Schedule(1, duration=0.01, reconnect=True), count=3)
    assert measures.errors == {(Step.REGISTER, "AccessDenied"): 1}
    assert [measures.count(step) for step in (Step.REGISTER, Step.PROVISIONED, Step.RETURN)] == [2, 2, 2]
    assert phases == ["begin"] * 3 + ["hold"] * 2 + ["come back"] * 2
    assert server.connected == 0


@pytest.mark.parametrize(
    ("answer", "step", "kind"),
    [
        (Connack(False, ReasonCode.NOT_AUTHORIZED), Step.CONNECT, "NOT_AUTHORIZED"),
        (None, Step.CONNECT, "closed by the service"),
    ],
    ids=["with a word", "without"],
)
async def test_refused_connection_is_named(tmp_path: Path, answer: Connack | None, step: Step, kind: str) -> None:
    def refuse(talk: Talk, packet: ClientPacket) -> None:
        if answer is not None:
            talk.say(answer)
        talk.writer.close()

    measures, _ = await lived(refuse, tmp_path, Schedule(1))
    assert measures.errors == {(step, kind): 1}


async def test_nobody_there_is_named(tmp_path: Path) -> None:
    measures = Measures()
    async with scripted_gateway(politely, tmp_path) as target:
        device = SimulatedDevice("d0", orders_for(target), measures)
    await device.begin()
    assert measures.errors == {(Step.CONNECT, "ConnectionRefusedError"): 1}


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"no JSON"])
async def test_answer_that_is_none_is_a_failure(tmp_path: Path, payload: bytes) -> None:
    def answer_nonsense(talk: Talk, packet: ClientPacket) -> None:
        politely(talk, packet)
        if isinstance(packet, Publish):
            talk.say(Publish(f"{packet.topic}/accepted", payload))

    measures, _ = await lived(answer_nonsense, tmp_path, Schedule(1))
    assert measures.errors == {(Step.KEYS, "an answer that is none"): 1}


async def test_message_that_does_not_come_back_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Provisioner()

    def swallow(talk: Talk, packet: ClientPacket) -> None:
        if isinstance(packet, Publish) and not packet.topic.startswith("$aws"):
            return talk.say(Puback(packet.packet_id))
        return server(talk, packet)

    monkeypatch.setattr(device_module, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 60.0)
    measures, _ = await lived(swallow, tmp_path, Schedule(1))
    assert measures.errors == {(Step.ROUND_TRIP, "no answer in time"): 1}
    assert measures.count(Step.PUBACK) == 1


async def test_no_more_devices_are_busy_than_may_be(tmp_path: Path) -> None:
    server = Provisioner()
    measures, _ = await lived(server, tmp_path, Schedule(3), count=9)
    assert measures.count(Step.PROVISIONED) == 9
    assert server.most <= 3


async def test_devices_publish_while_they_stay(tmp_path: Path) -> None:
    server = Provisioner()
    measures, _ = await lived(server, tmp_path, Schedule(2, duration=0.5, publish_per_second=20), count=2)
    assert not measures.errors
    # One at the beginning, then at most one for each interval that has begun; fewer on a busy machine, but not none.
    assert 2 < measures.count(Step.ROUND_TRIP) <= 2 * (1 + 11)


async def test_connection_that_is_lost_while_devices_stay_is_a_failure(tmp_path: Path) -> None:
    server = Provisioner()

    def end_after_the_first_message(talk: Talk, packet: ClientPacket) -> None:
        server(talk, packet)
        if isinstance(packet, Publish) and not packet.topic.startswith("$aws"):
            talk.say(Disconnect(ReasonCode.ADMINISTRATIVE_ACTION))
            talk.writer.close()

    measures, phases = await lived(end_after_the_first_message, tmp_path, Schedule(1, duration=60))
    assert measures.errors == {(Step.HOLD, "ADMINISTRATIVE_ACTION"): 1}
    assert phases == ["begin", "hold"]


@pytest.mark.parametrize("phase", ["begin", "hold"])
async def test_interruption_leaves_no_device_connected(tmp_path: Path, phase: str) -> None:
    server, reached = Provisioner(), asyncio.Event()

    def stall(talk: Talk, packet: ClientPacket) -> None:
        if phase == "begin" and isinstance(packet, Publish):
            reached.set()
            return None
        return server(talk, packet)

    def advance(ended: str) -> None:
        reached.set()

    async with scripted_gateway(stall, tmp_path) as target:
        devices = [SimulatedDevice(f"d{at}", orders_for(target), Measures()) for at in range(3)]
        running = asyncio.create_task(crowd.run(devices, Schedule(3, duration=600), advance))
        await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert all(device._client is None for device in devices)


def test_orders_show_no_claim() -> None:
    assert "secret" not in repr(Orders(None, "secret", "t", {}))  # type: ignore[arg-type] # never used
