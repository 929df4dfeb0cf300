"""Storms over simulated devices, against a server that loses or refuses what a test wants."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.cli.test_simulated_device import Provisioner, orders_for
from tests.support.devices.scripted_gateway import Talk, scripted_gateway

from thingmint.cli.connection import Connection, SignedClient
from thingmint.cli.simulation import storm as storm_module
from thingmint.cli.simulation.api import Api
from thingmint.cli.simulation.bystander import BystanderOrders
from thingmint.cli.simulation.clients.device import SimulatedDevice
from thingmint.cli.simulation.clients.identity import Identity
from thingmint.cli.simulation.measures import Measures, Step
from thingmint.cli.simulation.preparation import MadeCertificate, SharedPolicy
from thingmint.cli.simulation.storm import Storm, StormKind
from thingmint.mqtt.codec.packets import ClientPacket, Connack, Connect, Publish, QoS, Subscribe
from thingmint.mqtt.codec.reason_codes import ReasonCode

API = Connection("http://127.0.0.1:1", None, "us-east-1", "key", "", None)


class _Bystander:
    """Measures one reading of the API beside the storm."""

    def storm_begins(self) -> None:
        pass

    async def measures(self) -> Measures:
        measures = Measures()
        measures.record(Step.API, 0.001)
        measures.fail(Step.MQTT, "TIMEOUT")
        return measures


@contextlib.asynccontextmanager
async def _beside(_: BystanderOrders) -> AsyncIterator[_Bystander]:
    yield _Bystander()


class _Server(Provisioner):
    """Provisions devices; carries what is said in storms to who asked for it last."""

    def __init__(self, loses: bytes = b"", refusals: int = 0) -> None:
        super().__init__()
        self._loses = loses
        self._refusals = refusals
        self._reader: Talk | None = None
        self.is_storm = False

    def __call__(self, talk: Talk, packet: ClientPacket) -> None:
        match packet:
            case Connect() if self.is_storm and self._refusals:
                self._refusals -= 1
                return talk.say(Connack(False, ReasonCode.SERVER_UNAVAILABLE))
            case Subscribe() if "/storm/" in packet.subscriptions[0].topic_filter:
                self._reader = talk
            case Publish() if "/storm/" in packet.topic and self._reader is not None:
                if packet.payload != self._loses:
                    # Twice, as QoS 1 may.
                    for packet_id in (1, 2):
                        self._reader.say(Publish(packet.topic, packet.payload, QoS.AT_LEAST_ONCE, packet_id=packet_id))
        return super().__call__(talk, packet)


async def stormed(kind: StormKind, server: _Server, directory: Path, count: int = 3) -> Measures:
    measures = Measures()
    async with scripted_gateway(server, directory) as target:
        devices = [SimulatedDevice(f"d{at}", orders_for(target), measures) for at in range(count)]
        try:
            for device in devices:
                await device.begin()
            server.is_storm = True
            made = MadeCertificate("1", Identity("", ""))
            policy = SharedPolicy(Api(SignedClient(API)), "run")
            await Storm(kind, BystanderOrders(API, target, "b", made), policy, measures).run(devices)
        finally:
            for device in devices:
                await device.abort()
    return measures


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    def set_patience(seconds: float) -> None:
        monkeypatch.setattr(storm_module, "PATIENCE_SECONDS", seconds)

    monkeypatch.setattr(storm_module, "bystander", _beside)
    for name in ("_QUIET_SECONDS", "_SHORTEST_PAUSE_SECONDS", "_LONGEST_PAUSE_SECONDS"):
        monkeypatch.setattr(storm_module, name, 0.01)
    return set_patience


async def test_devices_come_back_as_often_as_it_takes(tmp_path: Path) -> None:
    measures = await stormed(StormKind.RECONNECT, _Server(refusals=4), tmp_path)
    assert (measures.count(Step.BACK), measures.attempts) == (3, 7)
    assert measures.count(Step.API) == 1
    assert measures.errors == {(Step.MQTT, "TIMEOUT"): 1}


async def test_device_that_does_not_come_back_has_failed(tmp_path: Path, impatient: Callable[[float], None]) -> None:
    impatient(0.3)
    measures = await stormed(StormKind.RECONNECT, _Server(refusals=10**6), tmp_path, count=2)
    assert measures.count(Step.BACK) == 0
    assert measures.errors[Step.BACK, "it could not come back in time"] == 2


async def test_message_that_arrives_twice_counts_once(tmp_path: Path) -> None:
    measures = await stormed(StormKind.FAN_IN, _Server(), tmp_path)
    assert measures.count(Step.DELIVERY) == measures.count(Step.STORM_PUBACK) == 2


async def test_reader_that_lacks_a_message_has_failed(tmp_path: Path, impatient: Callable[[float], None]) -> None:
    impatient(0.3)
    measures = await stormed(StormKind.FAN_IN, _Server(loses=b"d2"), tmp_path)
    assert measures.count(Step.DELIVERY) == 1
    assert measures.errors[Step.DELIVERY, "a message did not arrive"] == 1


async def test_one_device_is_no_storm(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="needs 2 devices"):
        await stormed(StormKind.WILLS, _Server(), tmp_path, count=1)
