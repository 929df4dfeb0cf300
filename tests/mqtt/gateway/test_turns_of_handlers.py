"""Every packet of devices, and every action of the gateway on its connections, when it comes for a whole fleet at once.

Packets and actions are listed by the code, so that a new one is tried, or named here with the reason.
"""

import asyncio
import contextlib
import gc
import inspect
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
from tests.support.brokers.broker import SCOPE
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.mqtt_peer import V3, Peer, connected_peer, peer
from tests.support.machine.loop_thread import LOOPS, held
from tests.support.machine.turn_watch import LongTurn, TurnSelector, begin, ensure_short_turns, reference_seconds

from thingmint.core.policies.target import CertificateTarget
from thingmint.mqtt.codec.packets import (
    Connect,
    Disconnect,
    Pingreq,
    Puback,
    Publish,
    QoS,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.gateway.link.device_protocol import Request
from thingmint.mqtt.transport.long_lived import LongLivedObjects

FLEET = 250
# In one turn, the work on all of them would be more than this.
BUDGET = 40.0
ATTEMPTS = 5
WILL = Will("will", b"gone", QoS.AT_LEAST_ONCE)
FILTERS = [Subscription(f"filter/{number}/+", QoS.AT_LEAST_ONCE) for number in range(8)]


def publishes(device: Peer) -> None:
    device.send(*(Publish(f"topic/{n}", b"x" * 100, QoS.AT_LEAST_ONCE, packet_id=n + 1) for n in range(30)))


def subscribes(device: Peer) -> None:
    device.send(*(Subscribe(number, tuple(FILTERS)) for number in range(1, 6)))


def unsubscribes(device: Peer) -> None:
    topics = tuple(f"{each.topic_filter}/unknown" for each in FILTERS)
    device.send(*(Unsubscribe(number, topics) for number in range(1, 11)))


def pings(device: Peer) -> None:
    device.send(*[Pingreq()] * 50)


def acknowledges(device: Peer) -> None:
    device.send(*(Puback(number) for number in range(1, 51)))


def connects(device: Peer) -> None:
    device.send(Connect(V3, f"device-{id(device)}", will=WILL))


def leaves(device: Peer) -> None:
    device.send(Disconnect())


HANDLERS: dict[type, Callable[[Peer], None]] = {
    Connect: connects,
    Publish: publishes,
    Puback: acknowledges,
    Subscribe: subscribes,
    Unsubscribe: unsubscribes,
    Pingreq: pings,
    Disconnect: leaves,
}


def changes_policies(live: LiveGateway) -> None:
    live.gateway.policies_changed()


def changes_the_certificate(live: LiveGateway) -> None:
    for certificate_id, device in live.registry.devices.items():
        live.gateway.principal_ended(CertificateTarget(device.scope, certificate_id))


ACTIONS: dict[str, Callable[[LiveGateway], object]] = {
    "policies_changed": changes_policies,
    "principal_ended": changes_the_certificate,
    "end_all_without_wills": lambda live: live.gateway.end_all_without_wills(),
    "stop": lambda live: live.gateway.stop(1.0),
}
# Methods that do nothing to connections, or to one of them.
OF_ONE_OR_NONE = {
    "connection_of",
    "connections_of_account",
    "delete_connection",
    "has_connection_of",
    "has_listeners",
    "last_ending_of",
    "open_web_socket",
    "start",
    "taken_over",
    "use_tls_context",
}
# A delivery for each client of the account that listens to the event.
OF_LISTENERS = {"publish_event"}
EVENTS = "$aws/events/presence/connected/"
EVENTS_AT_ONCE = 80


Watch = Callable[[str, Callable[[], object]], None]


def watch(live: LiveGateway, selector: TurnSelector, name: str, act: Callable[[], object]) -> None:
    """Act, and wait until the gateway is done; raise LongTurn, with the name, if a turn of its loop was long."""
    before = reference_seconds()
    live.thread.run(begin(selector))
    act()
    until_settled(live)
    seconds = live.thread.call(selector.seconds.copy)
    try:
        ensure_short_turns(seconds, BUDGET, max(before, reference_seconds()))
    except LongTurn as error:
        error.add_note(name)
        raise


def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[LiveGateway, Watch], None]) -> None:
    """Run the work with a gateway whose loop is watched in some steps; raise LongTurn as `run_watched` does."""
    for attempt in range(ATTEMPTS):
        selector = TurnSelector()
        monkeypatch.setitem(LOOPS, "watched", partial(asyncio.SelectorEventLoop, selector))
        directory = tmp_path / str(attempt)
        directory.mkdir()
        long_lived = LongLivedObjects()
        with live_gateway(directory, loop_name="watched", observe_kept=long_lived.kept) as live:
            try:
                work(live, partial(watch, live, selector))
            except LongTurn:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return
            finally:
                gc.unfreeze()


def until_settled(live: LiveGateway) -> None:
    """Wait until the gateway has nothing to do for a while."""
    time.sleep(0.1)
    live.wait_until(lambda: not live.gateway._services.work)
    live.wait_until(lambda: live.gateway._policy_refresh.task is None and live.gateway._ender is None)


def test_every_packet_and_every_action_is_tried() -> None:
    assert set(HANDLERS) == set(get_args(Request))
    methods = {name for name, _ in inspect.getmembers(Gateway, inspect.isfunction) if not name.startswith("_")}
    assert methods == {*ACTIONS, *OF_ONE_OR_NONE, *OF_LISTENERS}


def test_a_packet_or_an_action_for_all_devices_at_once_makes_no_long_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(live: LiveGateway, step: Watch) -> None:
        with contextlib.ExitStack() as stack:
            fleet = connected_fleet(live, stack)
            for name in ("policies_changed", "principal_ended"):
                step(name, partial(live.thread.call, partial(ACTIONS[name], live)))
            # DISCONNECT is the last one.
            for kind in [each for each in HANDLERS if each is not Connect]:
                step(kind.__name__, partial(sent_at_once, live, fleet, kind))

    watched(tmp_path, monkeypatch, work)


def test_all_devices_that_connect_at_once_make_no_long_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(live: LiveGateway, step: Watch) -> None:
        with contextlib.ExitStack() as stack:
            identity = live.register()
            fleet = [stack.enter_context(peer(live, identity, V3)) for _ in range(FLEET)]
            step("Connect", lambda: sent_at_once(live, fleet, Connect))

    watched(tmp_path, monkeypatch, work)


@pytest.mark.parametrize("name", ["end_all_without_wills", "stop"])
def test_the_end_of_all_connections_makes_no_long_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def work(live: LiveGateway, step: Watch) -> None:
        with contextlib.ExitStack() as stack:
            connected_fleet(live, stack)

            async def act() -> None:
                done = ACTIONS[name](live)
                if inspect.isawaitable(done):
                    await done

            step(name, lambda: live.thread.run(act()))

    watched(tmp_path, monkeypatch, work)


def test_events_of_a_whole_fleet_to_a_whole_fleet_make_no_long_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(live: LiveGateway, step: Watch) -> None:
        with contextlib.ExitStack() as stack:
            fleet = connected_fleet(live, stack)
            for device in fleet:
                device.subscribe(f"{EVENTS}+")

            def publish() -> None:
                for number in range(EVENTS_AT_ONCE):
                    live.gateway.publish_event(SCOPE, f"{EVENTS}device-{number}", b"{}")

            def publish_and_hear() -> None:
                live.thread.call(publish)
                for device in fleet:
                    for number in range(EVENTS_AT_ONCE):
                        assert device.expect(Publish).topic == f"{EVENTS}device-{number}"

            step("publish_event", publish_and_hear)

    watched(tmp_path, monkeypatch, work)


def connected_fleet(live: LiveGateway, stack: contextlib.ExitStack) -> list[Peer]:
    """Return connected devices with wills, which are closed with the stack."""
    identity = live.register()
    return [stack.enter_context(connected_peer(live, identity, V3, f"device-{n}", will=WILL)) for n in range(FLEET)]


def sent_at_once(live: LiveGateway, fleet: list[Peer], kind: type) -> None:
    """Let all devices send packets of a kind while the gateway's loop stands still."""
    with held(live.thread):
        for device in fleet:
            HANDLERS[kind](device)
