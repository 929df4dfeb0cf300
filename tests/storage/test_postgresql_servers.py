"""Which of several servers is used: the primary, also if another one is silent, and what readers learn of a change."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from tests.support.databases.replication import replicated_pair
from tests.support.databases.stores import Timings

from thingmint.core.errors import ServiceUnavailable
from thingmint.records import changes as change_table
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.kernel.changes import changes_from
from thingmint.storage import InvalidDatabaseURL
from thingmint.storage.database_url import DatabaseServer, parse_database_url
from thingmint.storage.postgresql.store import PostgreSQLStore, first_connection, open_postgresql


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Yield the port of a server that accepts connections and never answers."""
    ends = asyncio.Event()

    async def keep(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ends.wait()
        writer.close()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            ends.set()


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgreSQLStore]:
    store = await open_postgresql(parse_database_url(url), observe=Timings())
    try:
        yield store
    finally:
        await store.close()


async def note(store: PostgreSQLStore, *resources: str) -> None:
    for resource in resources:
        await store.write(lambda resource=resource: change_table.record_change(resource))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


async def test_a_silent_server_does_not_keep_the_next_one_from_being_used(postgresql_url: str) -> None:
    parts = urlsplit(postgresql_url)
    (real,) = parse_database_url(postgresql_url).each_server
    async with silent_server() as port:
        url = f"postgresql://postgres@{parts.path}?host=127.0.0.1,{real.host}&port={port},{real.port}"
        async with opened(url) as store:
            await store.check()
            await asyncio.gather(*(store.check() for _ in range(20)))


async def test_servers_of_which_none_answers_are_named_in_the_error() -> None:
    url = parse_database_url("postgresql://u@127.0.0.1:1,127.0.0.1:2/x")
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1, 127\.0\.0\.1:2"):
        await first_connection(url)


async def test_changes_that_a_promoted_standby_lacks_are_read_again_by_every_node() -> None:
    with replicated_pair() as pair:
        await asyncio.to_thread(pair.follow, is_synchronous=False)
        async with opened(pair.url("postgres")) as store:
            watch = ChangeWatch[str](store)
            assert list(await watch.changed_keys()) == []

            async def reading() -> tuple[str, frozenset[str]]:
                return "", frozenset({"certificate"})

            await watch.read("device", reading)
            await note(store, "before")
            assert list(await watch.changed_keys()) == []
            await asyncio.to_thread(pair.cut_off_standby)
            await note(store, "lost", "lost, too")
            assert list(await watch.changed_keys()) == []
            seen = await changes_from(store, None)
            await asyncio.to_thread(pair.fail_over)
            # They get the positions of the lost changes, which this reader has read.
            await until_written(store, "certificate", "unwatched", "unwatched, too")
            after = await changes_from(store, seen.stamp, seen.server)
            assert (after.stamp > seen.stamp, after.resources) == (True, None)
            assert list(await watch.changed_keys()) == ["device"]


async def until_written(store: PostgreSQLStore, *resources: str) -> None:
    for resource in resources:
        while True:
            # The connections to the former primary are lost.
            with contextlib.suppress(ServiceUnavailable):
                await note(store, resource)
                break


@pytest.mark.parametrize(
    ("url", "servers", "wanted"),
    [
        ("postgresql://u@a/x", [("a", 5432)], None),
        ("postgresql://u@a:1,b,[::1]:3/x", [("a", 1), ("b", 5432), ("::1", 3)], "primary"),
        ("postgresql://u@/x?host=a,b&port=1,2", [("a", 1), ("b", 2)], "primary"),
        ("postgresql://u@/x?host=/a,/b&port=7", [("/a", 7), ("/b", 7)], "primary"),
        ("postgresql://u@a,b/x?target_session_attrs=read-write", [("a", 5432), ("b", 5432)], None),
    ],
)
def test_of_several_servers_the_primary_is_wanted_unless_the_url_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, url: str, servers: list[tuple[str, int]], wanted: str | None
) -> None:
    for name in ("PGHOST", "PGPORT", "PGTARGETSESSIONATTRS"):
        monkeypatch.delenv(name, raising=False)
    parsed = parse_database_url(url)
    assert list(parsed.each_server) == [DatabaseServer(*each) for each in servers]
    assert parsed.wanted == wanted


@pytest.mark.parametrize("url", ["postgresql://u@a:x,b/x", "postgresql://u@/x?host=a,b,c&port=1,2"])
def test_a_list_of_servers_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(InvalidDatabaseURL, match="a port in the database URL is missing or not a number"):
        parse_database_url(url)
