"""Nodes go on while a newer node has migrated their database by additions, and cannot be started again on it."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import asyncpg
import pytest
from tests.support.devices.live_devices import device, new_credentials, unique
from tests.support.machine.soak import examples
from tests.support.services.nodes import client_of, nodes
from tests.support.services.service import ended_start

SECONDS_OF_LOAD = examples(2, 120)
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


async def add_to_every_table(url: str) -> None:
    """Change the schema as a migration of the next version may: columns with and without a default, tables, indexes."""
    connection = await asyncpg.connect(url)
    try:
        tables = [row["tablename"] for row in await connection.fetch(TABLES)]
        # A migration is one transaction. If PostgreSQL ends it because of a deadlock, the newer node is started again.
        while True:
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                async with connection.transaction():
                    for table in tables:
                        await connection.execute(f"ALTER TABLE {table} ADD COLUMN next_note TEXT")
                        await connection.execute(
                            f"ALTER TABLE {table} ADD COLUMN next_number BIGINT NOT NULL DEFAULT 0"
                        )
                        await connection.execute(f"CREATE INDEX {table}_next ON {table} (next_number)")
                    await connection.execute("CREATE TABLE next_table (name TEXT PRIMARY KEY)")
                    await connection.execute(
                        "INSERT INTO schema_version (version, name) SELECT max(version) + 1, 'next' FROM schema_version"
                    )
                return
    finally:
        await connection.close()


@pytest.mark.soak
async def test_nodes_work_on_the_next_schema_until_they_are_stopped(
    tmp_path: Path,
    postgresql_url: str,
) -> None:
    with nodes(tmp_path, postgresql_url, 2) as started:
        one, two = started
        failures: list[BaseException] = []
        rounds, ends = [0, 0], threading.Event()

        def work(number: int) -> None:
            iot = client_of(started[number])
            try:
                while not ends.is_set():
                    name = unique("thing")
                    iot.create_thing(thingName=name)
                    iot.update_thing(thingName=name, attributePayload={"attributes": {"a": "b"}})
                    created = new_credentials(iot)
                    iot.attach_thing_principal(thingName=name, principal=created.arn)
                    iot.update_certificate(certificateId=created.certificate_id, newStatus="INACTIVE")
                    assert iot.describe_thing(thingName=name)["attributes"] == {"a": "b"}
                    rounds[number] += 1
            except BaseException as error:  # noqa: BLE001  the test fails with it
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            before = await _rounds_after(rounds, failures, [0, 0], 0)
            await add_to_every_table(postgresql_url)
            await _rounds_after(rounds, failures, before, SECONDS_OF_LOAD)
            credentials = new_credentials(client_of(one))
            with device(two, credentials, tmp_path, "lamp") as lamp:
                assert lamp.publish("room", b"1") == "Success"
        finally:
            ends.set()
            for thread in threads:
                thread.join()
        assert failures == []
        # The way back is a backup: an older version does not start on a database that a newer one has migrated.
        two.service.terminate()
        said = ended_start(two.service.data_dir, "--database-url", postgresql_url)
        assert "Start the version that migrated it" in said


async def _rounds_after(
    rounds: list[int], failures: list[BaseException], before: list[int], seconds: float
) -> list[int]:
    """Wait until each worker has done another round, and at least so long; return the rounds."""
    earliest, latest = time.monotonic() + seconds, time.monotonic() + seconds + 120
    while time.monotonic() < earliest or any(now <= then for now, then in zip(rounds, before, strict=True)):
        assert failures == []
        assert time.monotonic() < latest
        await asyncio.sleep(0.05)
    return list(rounds)
