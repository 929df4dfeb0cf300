"""Nodes go on while a newer node has migrated their database by additions, and cannot be started again on it."""

import asyncio
import contextlib
import io
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from tests.faults.test_shared_database import copy_keys
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import Live
from tests.support.devices.live_devices import EVERYTHING, device, new_credentials, unique
from tests.support.machine.soak import examples
from tests.support.services.nodes import client_of, nodes
from tests.support.services.service import ended_start, running_service

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
MIGRATIONS = "src/thingmint/storage/migrations"
SECONDS_OF_LOAD = examples(2, 120)
# A round of changes takes about as long, so half of the callers have a request under way at any time.
PAUSE_SECONDS = examples(0.1, 0.0)
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


@dataclass
class Load:
    """Callers of nodes, one each, who repeat no failed request."""

    nodes: list[Live]
    rounds: list[int] = field(init=False)
    failures: list[BaseException] = field(default_factory=list)
    ends: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin with no round."""
        self.rounds = [0] * len(self.nodes)

    def work(self, number: int) -> None:
        """Change things and certificates on one node, and read what was changed, until the load ends."""
        iot, request = client_of(self.nodes[number]), csr_pem("p-256")
        try:
            while not self.ends.is_set():
                name = unique("thing")
                iot.create_thing(thingName=name)
                iot.update_thing(thingName=name, attributePayload={"attributes": {"a": "b"}})
                created = iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=True)
                iot.create_policy(policyName=name, policyDocument=EVERYTHING)
                iot.attach_policy(policyName=name, target=created["certificateArn"])
                iot.attach_thing_principal(thingName=name, principal=created["certificateArn"])
                iot.update_certificate(certificateId=created["certificateId"], newStatus="INACTIVE")
                assert iot.describe_thing(thingName=name)["attributes"] == {"a": "b"}
                self.rounds[number] += 1
                self.ends.wait(PAUSE_SECONDS)
        except BaseException as error:  # noqa: BLE001  the test fails with it
            self.failures.append(error)

    async def goes_on(self, seconds: float = 0) -> None:
        """Return when each caller has done another round, and not before so many seconds."""
        before, earliest = list(self.rounds), time.monotonic() + seconds
        while time.monotonic() < earliest or any(now <= then for now, then in zip(self.rounds, before, strict=True)):
            assert self.failures == []
            assert time.monotonic() < earliest + 120
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def load_on(*started: Live) -> Iterator[Load]:
    """Yield the load on some nodes; fail if one of its requests failed."""
    load = Load(list(started))
    threads = [threading.Thread(target=load.work, args=(number,)) for number in range(len(started))]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.ends.set()
        for thread in threads:
            thread.join()
    assert load.failures == []


@pytest.mark.soak
async def test_nodes_work_on_the_next_schema_until_they_are_stopped(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 2) as (one, two):
        with load_on(one, two) as load:
            await load.goes_on()
            await add_to_every_table(migrated_postgresql_url)
            await load.goes_on(SECONDS_OF_LOAD)
            credentials = new_credentials(client_of(one))
            with device(two, credentials, tmp_path, "lamp") as lamp:
                assert lamp.publish("room", b"1") == "Success"
        # The way back is a backup: an older version does not start on a database that a newer one has migrated.
        two.service.terminate()
        said = ended_start(two.service.data_dir, "--database-url", migrated_postgresql_url)
        assert "Start the version that migrated it" in said


def git(*words: str) -> bytes:
    """Return what git says of this repository."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout


def source_before_the_newest_migration(folder: Path) -> Path:
    """Write the source of the last commit without the newest migration; skip the test where no history is at hand."""
    newest = max((ROOT / MIGRATIONS).glob("*.sql")).name
    try:
        for commit in git("rev-list", "--first-parent", "HEAD", "--", MIGRATIONS).decode().split():
            if newest not in git("ls-tree", "--name-only", f"{commit}^:{MIGRATIONS}").decode().split():
                tar = git("archive", f"{commit}^", "src")
                break
        else:
            pytest.skip("the newest migration is not committed, or git has no history before it")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the source before the newest migration is not at hand: this is no repository with its history")
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


@pytest.mark.soak
async def test_nodes_of_the_schema_before_work_beside_the_one_that_migrated(
    tmp_path: Path, postgresql_url: str
) -> None:
    source = source_before_the_newest_migration(tmp_path / "before")
    of_before = {"before": ("env", f"PYTHONPATH={source}"), "key_reserve": 1}
    flags = ("--database-url", postgresql_url, "--mqtt", "127.0.0.1:0")
    with contextlib.ExitStack() as stack:

        def node(name: str, **options: object) -> Live:
            return Live(stack.enter_context(running_service(tmp_path / name, *flags, **options)), postgresql_url)

        first = node("first", **of_before)
        copy_keys(tmp_path / "first", tmp_path / "second")
        second = node("second", **of_before)
        credentials = new_credentials(client_of(first))
        lamp = stack.enter_context(device(second, credentials, tmp_path, "lamp"))
        with load_on(second) as load:
            await load.goes_on()
            first.service.terminate()
            newer = node("first", key_reserve=1)
            newer.service.wait_for_log("the database is migrated from schema version")
            await load.goes_on(SECONDS_OF_LOAD)
            with load_on(newer) as load_of_newer:
                await load_of_newer.goes_on()
                await load.goes_on()
        # What the newer node revokes, the older one learns, as it does from a node of its own version.
        assert lamp.publish("room", b"1") == "Success"
        client_of(newer).update_certificate(certificateId=credentials.certificate_id, newStatus="REVOKED")
        assert lamp.disconnected.get(timeout=60) is not None
        second.service.terminate()
        last = node("second", key_reserve=1)
        with load_on(newer, last) as load:
            await load.goes_on()
