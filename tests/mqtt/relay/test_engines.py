"""Devices behind two gateways on clusters of real brokers: what they get is what the page of engines says.

`make brokers` records what is found instead, and writes the page. The fault takes long with most engines, so that all
but one of them wait for `make soak`.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.brokers.broker_engines import ENGINES, BrokerCluster
from tests.support.brokers.broker_faults import NodeLoss, lose_node
from tests.support.brokers.broker_page import ENGINES as ON_THE_PAGE
from tests.support.brokers.broker_page import KILLED, PAGE, VERSION, cell, found_by, page, said
from tests.support.brokers.broker_scenario import data_plane, offered, stage_of, tried
from tests.support.devices.device_gateway import live_gateway
from tests.support.machine.soak import SOAK, examples

pytestmark = pytest.mark.long

RECORD = os.environ.get("THINGMINT_BROKERS_RECORD")
FAULT_IN_EVERY_RUN = "NATS"
# Its session is lost with the node that it is on, so what a kill loses depends on the moment.
KEEPS_A_SESSION_ON_ONE_NODE = "ejabberd"
SECONDS = examples(4.5, 30.0)


def test_the_page_is_what_would_be_written() -> None:
    assert tuple(ENGINES) == ON_THE_PAGE
    assert PAGE.read_text() == page(said()), "make brokers writes it anew"


@pytest.mark.soak
@pytest.mark.parametrize("name", ENGINES)
def test_engine_gives_devices_what_the_page_says(tmp_path: Path, name: str) -> None:
    with ENGINES[name](tmp_path) as cluster:
        found = scenario(tmp_path, cluster)
        if name == KEEPS_A_SESSION_ON_ONE_NODE:
            found[KILLED] = cell(False)
        elif cluster.nodes and (name == FAULT_IN_EVERY_RUN or SOAK or RECORD):
            after = node_lost(tmp_path, cluster)
            found[KILLED] = cell(not after.lost and after.all_are_back)
    if RECORD:
        Path(RECORD).mkdir(exist_ok=True)
        (Path(RECORD) / f"{name}.json").write_text(json.dumps(found))
        return
    assert found == {feature: said()[name][feature] for feature in found}


def scenario(directory: Path, cluster: BrokerCluster) -> dict[str, str]:
    """Try every check on two gateways; what CONNACK tells devices must be what they then find."""
    with stage_of(cluster, directory) as stage:
        found = tried(stage, {} if RECORD else found_by(cluster.name))
        retained, shared = offered(stage)
        assert shared is found["shared subscriptions across nodes"]
        assert retained is True
        cells = {name: cell(value) for name, value in found.items()}
        return {VERSION: stage.version, **cells}


def node_lost(directory: Path, cluster: BrokerCluster) -> NodeLoss:
    """Kill one node, and start it again where the rest of the cluster cannot go on without it."""
    victim = cluster.nodes[0]
    then: Callable[[], None] = victim.start if len(cluster.nodes) < 3 else lambda: None
    with live_gateway(directory, data_plane=data_plane(cluster.spec())) as live:
        found = lose_node(live, live.register(), victim, SECONDS, then)
    assert found.acknowledged
    return found
