"""What a node does to all of its connections at once, on a real gateway, is done in several turns of the event loop."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.mqtt_peer import V5, connected_peer

from thingmint.mqtt.counters import Counters
from thingmint.mqtt.events import ClientConnected
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.registration.kernel import turns
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.service.nodes.membership import Membership
from thingmint.service.nodes.nodes import Nodes

DEVICES = 5


class Marks:
    """A store that notes how many connections had been entered when the node's mark was written."""

    def __init__(self) -> None:
        self.entered_before: list[int] = []
        self.entered: Callable[[], int] = lambda: 0

    async def write(self, program: object) -> None:
        self.entered_before.append(self.entered())


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveGateway]:
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    with live_gateway(tmp_path) as running, contextlib.ExitStack() as stack:
        identity = running.register()
        for number in range(DEVICES):
            stack.enter_context(connected_peer(running, identity, V5, f"device-{number}"))
        yield running


def changes_of(counts: list[int]) -> set[int]:
    return {abs(later - earlier) for earlier, later in itertools.pairwise(counts)}


def test_connections_are_entered_again_in_slices(live: LiveGateway) -> None:
    store = Marks()
    nodes = Nodes(
        cast("RegistrationAuthority", SimpleNamespace(store=store, clock=live.clock)),
        cast("Membership", SimpleNamespace(node_id="one")),
        lambda: live.gateway,
        live.registry,  # type: ignore[arg-type]  # it is asked for nothing here
        live.gateway._data_plane,
        Counters(),
        lambda: None,
    )
    opened = nodes._directory._opened
    store.entered = lambda: len(opened)

    async def enter_again() -> list[int]:
        for event in live.events.all:
            if isinstance(event, ClientConnected):
                nodes.receive(event, None)
        assert len(opened) == DEVICES
        # As after a failover: the database has none of them.
        opened.clear()
        entering, counts = asyncio.create_task(nodes._enter_again()), [0]
        while not entering.done():
            await asyncio.sleep(0)
            counts.append(len(opened))
        return counts

    counts = live.thread.run(enter_again())
    assert (changes_of(counts), counts[-1]) == ({0, 1}, DEVICES)
    assert store.entered_before == [DEVICES], "the mark comes last"


ENDS: dict[str, Callable[[Gateway], Coroutine[Any, Any, None]]] = {
    "cut off": lambda gateway: gateway.end_all_without_wills(),
    "stop": lambda gateway: gateway.stop(1.0),
}


@pytest.mark.parametrize("name", ENDS)
def test_all_connections_are_ended_in_slices(live: LiveGateway, name: str) -> None:
    async def end() -> list[int]:
        ending, counts = asyncio.create_task(ENDS[name](live.gateway)), [DEVICES]
        while not ending.done():
            await asyncio.sleep(0)
            counts.append(live.gateway.connected_devices)
        await ending
        return counts

    counts = live.thread.run(end())
    assert (changes_of(counts), counts[-1]) == ({0, 1}, 0)
