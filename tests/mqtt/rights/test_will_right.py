"""Whether a will may be published is logged and counted where it is decided, for each kind of broker."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.brokers.broker import SCOPE
from tests.support.brokers.mosquitto import mosquitto
from tests.support.devices.device_gateway import live_gateway, policy
from tests.support.devices.mqtt_peer import V5, connected_peer

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.mqtt.codec.packets import Publish, QoS, Will
from thingmint.mqtt.counters import Counters, NoObserver
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.mqtt.rights import will_right
from thingmint.mqtt.rights.ports import ConnectionFacts, Denial, DeviceAuthorizer, DeviceRefusal, DeviceRefused
from thingmint.mqtt.rights.will_right import DeviceWillRight

MESSAGE = Publish("wills/lamp", b"gone", QoS.AT_LEAST_ONCE)
FACTS = ConnectionFacts("lamp", "127.0.0.1", None)


class Losses(NoObserver):
    """What was counted as lost."""

    def __init__(self) -> None:
        self.counted: list[str] = []

    def mqtt_lost(self, family: str, reason: str, count: int) -> None:
        self.counted.extend([f"{family}:{reason}"] * count)


class Policies:
    """Allows everything, or nothing."""

    def __init__(self, *, allow: bool) -> None:
        self._allow = allow

    def allows(self, action: str, resource: str) -> bool:
        return self._allow

    def denial(self, action: str, resource: str) -> Denial:
        return Denial("IMPLICIT_DENY")


class Lamp:
    """A device, and what the registry says of it each time that it is asked."""

    scope: Scope = SCOPE
    principal_id = CertificateId("a" * 64)
    valid_until = datetime.max.replace(tzinfo=UTC)

    def __init__(self, *answers: Exception | None, allow: bool = True) -> None:
        self._answers = list(answers)
        self._allow = allow
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        answer = self._answers.pop(0) if self._answers else None
        if answer is not None:
            raise answer

    async def authorizer(self, facts: ConnectionFacts) -> DeviceAuthorizer:
        return Policies(allow=self._allow)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(will_right, "_RETRY_SECONDS", 0.0)


UNREADABLE = [ServiceUnavailable() for _ in range(30)]


@pytest.mark.parametrize(
    ("lamp", "level", "why", "counted"),
    [
        (Lamp(DeviceRefused(DeviceRefusal.REVOKED)), logging.INFO, "DEVICE_CERTIFICATE_REVOKED", "will_not_allowed"),
        (Lamp(allow=False), logging.INFO, "iot:Publish is not allowed", "will_not_allowed"),
        (Lamp(*UNREADABLE), logging.WARNING, "the registry cannot be read", "will_undecided"),
        (Lamp(RuntimeError("a fault")), logging.WARNING, "the registry cannot be read", "will_undecided"),
    ],
    ids=["revoked", "denied", "unreadable", "fault"],
)
async def test_a_will_that_is_not_published_is_logged_and_counted(
    lamp: Lamp, level: int, why: str, counted: str, caplog: pytest.LogCaptureFixture
) -> None:
    losses = Losses()
    with caplog.at_level(logging.INFO):
        assert not await DeviceWillRight(lamp, FACTS, Counters(losses)).allows(MESSAGE)
    (line,) = [each for each in caplog.records if "not published" in each.getMessage()]
    assert line.levelno == level
    assert why in line.getMessage()
    assert losses.counted == [f"dropped:{counted}"]


async def test_a_registry_that_can_be_read_again_decides() -> None:
    losses, lamp = Losses(), Lamp(*UNREADABLE[:29])
    assert await DeviceWillRight(lamp, FACTS, Counters(losses)).allows(MESSAGE)
    assert lamp.asked == 30
    assert losses.counted == []


@pytest.mark.parametrize("kind", ["built-in", "relay"])
def test_a_will_that_no_policy_allows_any_more_is_counted_by_each_broker(tmp_path: Path, kind: str) -> None:
    losses = Losses()
    with mosquitto() as broker:
        plane = None if kind == "built-in" else RelayDataPlane(one_broker(broker.address, SCOPE))
        with live_gateway(tmp_path, data_plane=plane, counters=Counters(losses)) as live:
            device = live.register()
            with connected_peer(live, device, V5, will=Will(MESSAGE.topic, b"gone")):
                live.device(device).policy = policy(("iot:Connect", "*"))
            live.wait_until(lambda: bool(losses.counted))
    assert losses.counted == ["dropped:will_not_allowed"]
