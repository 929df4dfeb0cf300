"""Objects of connections are left alone by the garbage collector, which finds nothing of those that have ended."""

import contextlib
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V3, V5, connected_peer

from thingmint.mqtt.codec.packets import Disconnect, Publish, Will
from thingmint.mqtt.transport.long_lived import LongLivedObjects

CALM, QUARTER_OF_AN_HOUR = 60, 900


class Knot:
    """An object that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    # As it was: the collector leaves collected tests and modules alone.
    gc.freeze()


def come(objects: LongLivedObjects, connections: int) -> None:
    for _ in range(connections):
        objects.came()


def test_objects_of_new_connections_are_frozen_once_they_are_many() -> None:
    objects = LongLivedObjects()
    come(objects, 249)
    assert gc.get_freeze_count() == 0
    come(objects, 1)
    frozen = gc.get_freeze_count()
    assert frozen > 0
    kept: list[list[int]] = [[] for _ in range(1000)]
    come(objects, 249)
    assert gc.get_freeze_count() <= frozen
    come(objects, 1)
    assert gc.get_freeze_count() >= frozen + len(kept) - 500


def test_all_objects_are_examined_in_a_calm_minute_after_very_many_connections() -> None:
    objects, knot = LongLivedObjects(), Knot()
    gone = weakref.ref(knot)
    objects.advance(3000)
    come(objects, 9_999)
    del knot
    for _ in range(2 * CALM):
        objects.advance(3000)
    gc.collect()
    assert gone() is not None, "it is frozen"

    come(objects, 1)
    objects.advance(3000)
    assert gone() is None
    assert gc.get_freeze_count() > 0
    assert not gc.collect(), "everything that is left is frozen"


@pytest.mark.parametrize(("coming", "going"), [(0, 200), (200, 0)], ids=["the number changes", "it does not"])
def test_all_objects_are_not_examined_while_many_connections_come_or_go(coming: int, going: int) -> None:
    objects, knot = LongLivedObjects(), Knot()
    gone = weakref.ref(knot)
    come(objects, 10_000)
    del knot
    for number in range(2 * CALM):
        come(objects, coming)
        objects.advance(3000 - going * (number % 2))
    assert gone() is not None
    # Otherwise, devices that never stop to come and go would leave garbage for ever.
    for number in range(2 * CALM, QUARTER_OF_AN_HOUR):
        assert gone() is not None
        come(objects, coming)
        objects.advance(3000 - going * (number % 2))
    assert gone() is None


def test_connections_that_subscribe_or_get_other_policies_have_objects_to_freeze(tmp_path: Path) -> None:
    kept: list[int] = []
    with live_gateway(tmp_path, observe_kept=lambda: kept.append(1)) as live:
        identity = live.register()
        with connected_peer(live, identity, V5, "device") as device:
            assert kept == []
            device.subscribe("a")
            device.subscribe("b")
            assert len(kept) == 2
            live.thread.call(live.gateway.policies_changed)
            live.wait_until(lambda: len(kept) == 3)


def leaves(live: LiveGateway, identity: Identity) -> None:
    with connected_peer(live, identity, V5, "device", will=Will("will", b"gone")) as device:
        device.subscribe("own")
        device.publish("own", b"1")
        device.expect(Publish)
        device.send(Disconnect())
        assert device.is_closed()


def is_lost(live: LiveGateway, identity: Identity) -> None:
    with connected_peer(live, identity, V3, "device", will=Will("will", b"gone")) as device:
        device.subscribe("own")


def is_taken_over(live: LiveGateway, identity: Identity) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected_peer(live, identity, V5, "device"))


@pytest.mark.parametrize("end", [leaves, is_lost, is_taken_over])
def test_connections_that_have_ended_leave_nothing_to_the_collector(tmp_path: Path, end: object) -> None:
    assert callable(end)
    # The witness keeps the account's broker, which would leave something.
    with live_gateway(tmp_path) as live, connected_peer(live, live.register(), V5, "witness"):
        identity = live.register()
        end(live, identity)
        live.wait_until(lambda: live.gateway.open_connections == 1)
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                end(live, identity)
            live.wait_until(lambda: live.gateway.open_connections == 1 and not live.gateway._services.work)
            live.events.all.clear()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            own = [each for each in gc.garbage if type(each).__module__.startswith("thingmint")]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert own == []
