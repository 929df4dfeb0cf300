"""A node of the broker behind the relay is killed, while callers and devices work through HAProxy.

What was acknowledged is heard, certificates are as they were acknowledged, and every client is served again without
help. `make soak` takes more engines, and repeats it for as long as `tests/support/machine/soak.py` says.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.brokers.broker_engines import ENGINES, PASSWORD, USER, BrokerCluster
from tests.support.machine.soak import examples, soak_seconds
from tests.support.services.haproxy import BALANCER, haproxy
from tests.support.services.mixed_load import assert_kept, mixed_load
from tests.support.services.nodes import client_of, nodes

pytestmark = pytest.mark.long

CALLERS, DEVICES = examples((2, 2), (4, 8))
LASTS = examples(1.0, 5.0)


@contextlib.asynccontextmanager
async def broker_node_killed(cluster: BrokerCluster, number: int) -> AsyncIterator[None]:
    """kill -9 of a node of the broker; it is started again at the end."""
    victim = cluster.nodes[number]
    await asyncio.to_thread(victim.kill)
    yield
    victim.start()


def _settings(cluster: BrokerCluster, folder: Path) -> str:
    password = folder / "broker-password"
    password.write_text(PASSWORD)
    addresses = ", ".join(f'"{each}"' for each in cluster.addresses)
    return (
        f'mqtt_data_plane = "brokers"\n[mqtt_brokers.default]\naddresses = [{addresses}]\n'
        f'username = "{USER}"\npassword_file = "{password}"\n'
    )


# Not ejabberd: its sessions are on one node, and messages for a client whose node is killed are lost. RabbitMQ's
# cluster of two has no majority while a node is away.
@pytest.mark.soak
@pytest.mark.parametrize("engine", examples(["NATS"], ["NATS", "RabbitMQ"]))
async def test_a_lost_node_of_the_broker_loses_no_message_and_no_call(
    tmp_path: Path, migrated_postgresql_url: str, engine: str
) -> None:
    fault, ends = f"kill -9 of a node of {engine} behind the relay", time.monotonic() + soak_seconds()
    with ENGINES[engine](tmp_path) as cluster:
        for name in ("node-0", "node-1"):
            (tmp_path / name).mkdir(mode=0o700)
            (tmp_path / name / "thingmint.toml").write_text(_settings(cluster, tmp_path))
        with (
            nodes(tmp_path, migrated_postgresql_url, 2, "--proxy-protocol", BALANCER) as (one, two),
            haproxy(tmp_path, (one, two)) as balancer,
        ):
            async with mixed_load(one, balancer, tmp_path, CALLERS, DEVICES, has_listener=True) as load:
                await load.healed()
                for number in range(1_000_000):
                    victim = number % len(cluster.nodes)
                    await load.under(fault, broker_node_killed(cluster, victim), LASTS)
                    await asyncio.to_thread(cluster.nodes[victim].wait)
                    await load.all_is_heard()
                    if time.monotonic() >= ends:
                        break
            print(f"\n{load.seen.table()}\n{len(load.seen.acknowledged)} messages")
            assert len(load.seen.acknowledged) > 0
            await assert_kept(load.seen, client_of(one, attempts=10))
