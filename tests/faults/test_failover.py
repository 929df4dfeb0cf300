"""PostgreSQL fails over to a standby: what was acknowledged is there, nothing is there twice, and no one has to help.

`make soak` repeats it for as long as `tests/support/machine/soak.py` says.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from tests.faults.test_nodes import is_connected
from tests.support.clients.aws import Live
from tests.support.databases.replication import ReplicatedPair, replicated_pair
from tests.support.devices.live_devices import device, new_credentials
from tests.support.machine.soak import examples, soak_seconds
from tests.support.services.haproxy import BALANCER, Balancer, haproxy
from tests.support.services.mixed_load import assert_kept, mixed_load
from tests.support.services.nodes import client_of, eventually, nodes

pytestmark = pytest.mark.long

CALLERS, DEVICES = examples((2, 2), (4, 8))
LASTS = examples(1.0, 5.0)
KILLED = "kill -9 of PostgreSQL's primary, promotion of its standby"
FROZEN = "SIGSTOP of PostgreSQL's primary, promotion of its standby"


@contextlib.asynccontextmanager
async def failed_over(pair: ReplicatedPair, *, is_killed: bool) -> AsyncIterator[None]:
    """The end of the primary, and promotion of the standby."""
    await asyncio.to_thread(pair.fail_over, is_killed=is_killed)
    yield


async def _under_load(both: Sequence[Live], balancer: Balancer, pair: ReplicatedPair, folder: Path) -> None:
    """Fail over under load to one server, then back to the other, and so on in `make soak`."""
    ends = time.monotonic() + soak_seconds()
    async with mixed_load(both[0], balancer, folder, CALLERS, DEVICES) as load:
        await load.healed()
        for fault in itertools.cycle((KILLED, FROZEN)):
            await load.under(fault, failed_over(pair, is_killed=fault == KILLED), LASTS)
            if fault == FROZEN and time.monotonic() >= ends:
                break
            await asyncio.to_thread(pair.follow)
    for node in both:
        assert "cut off from the database" not in node.service.log
    print(f"\n{load.seen.table()}\n{len(load.seen.statuses)} certificates")
    await assert_kept(load.seen, client_of(both[0], attempts=10))


async def _repeated_requests(pair: ReplicatedPair) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(pair.primary.url)
    found = await connection.fetch("SELECT request_id, action FROM audit GROUP BY 1, 2 HAVING count(*) > 1")
    await connection.close()
    return found


@pytest.mark.soak
async def test_a_failover_to_a_synchronous_standby_loses_and_repeats_nothing(tmp_path: Path) -> None:
    with replicated_pair() as pair:
        await asyncio.to_thread(pair.follow)
        with (
            nodes(tmp_path, pair.url("postgres"), 2, "--proxy-protocol", BALANCER) as (one, two),
            haproxy(tmp_path, (one, two)) as balancer,
        ):
            iot = client_of(one, attempts=10)
            doomed, kept = new_credentials(iot), new_credentials(iot)
            with device(two, doomed, tmp_path, "doomed") as revoked, device(one, kept, tmp_path, "kept") as stays:
                await _under_load((one, two), balancer, pair, tmp_path)
                # Nodes hear of each other's changes through the new primary.
                here, there = client_of(one, "iot-data"), client_of(two, "iot-data")
                eventually(lambda: is_connected(here, "doomed") and is_connected(there, "kept"), bool)
                iot.update_certificate(certificateId=doomed.certificate_id, newStatus="REVOKED")
                assert revoked.disconnected.get(timeout=60) is not None
                # This device does not go through the balancer, which may take a busy node for lost.
                assert stays.disconnected.empty()
        assert await _repeated_requests(pair) == []
