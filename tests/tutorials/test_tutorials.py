"""The tutorials do what they say: every command is typed in as it stands."""

import socket
from pathlib import Path

import pytest
from tests.support.clients.tutorial import DOCS, Command, Reader, commands_of, expected
from tests.support.databases.postgresql import PostgreSQLCluster
from tests.support.machine.own_pytest import WITHOUT_OTHERS
from tests.support.machine.required import required_program

pytestmark = pytest.mark.long

TUTORIALS = DOCS / "tutorials"


def test_bulk_registration(reader: Reader) -> None:
    reader.follow(TUTORIALS / "bulk-registration.md")


def test_first_connections(reader: Reader) -> None:
    required_program("mosquitto_pub")
    reader.serve()
    reader.follow(TUTORIALS / "jitp.md")


def test_hooks(reader: Reader) -> None:
    reader.follow(TUTORIALS / "hooks.md")


def test_postgresql(reader: Reader, postgresql_cluster: PostgreSQLCluster) -> None:
    required_program("psql")
    url = postgresql_cluster.url
    reader.environment = {"ADMIN_URL": url}
    place = url.replace("postgres@", "thingmint@").replace("/postgres?", "/registry?")
    reader.replaced = {"postgresql://thingmint@db.example:5432/registry": place}
    reader.follow(TUTORIALS / "postgresql.md")


def test_three_nodes(reader: Reader, postgresql_cluster: PostgreSQLCluster) -> None:
    for program in ("psql", "haproxy", "curl"):
        required_program(program)
    url = postgresql_cluster.url
    reader.environment = {"ADMIN_URL": url}
    place = url.replace("postgres@", "three@").replace("/postgres?", "/three_nodes?")
    reader.replaced = {
        "postgresql://thingmint@db.example:5432/registry": place,
        "CREATE ROLE thingmint LOGIN": "CREATE ROLE three LOGIN",
        "CREATE DATABASE registry OWNER thingmint": "CREATE DATABASE three_nodes OWNER three",
        "127.0.0.1:7443": f"127.0.0.1:{free_port()}",
        "127.0.0.1:7883": f"127.0.0.1:{free_port()}",
    }
    reader.follow(TUTORIALS / "three-nodes.md")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_readme(reader: Reader) -> None:
    required_program("mosquitto_pub")
    reader.serve()
    reader.replaced = {
        ".venv/bin/thingmint": "thingmint",
        "--count 100": "--count 3",
        "100 identities": "3 identities",
    }
    reader.follow(DOCS.parent / "README.md")


def test_ci(reader: Reader) -> None:
    required_program("curl")
    reader.environment = {
        "RUNNER_TEMP": str(reader.directory),
        "THINGMINT_KEY_RESERVE": "4",
        "PYTEST_ADDOPTS": " ".join(WITHOUT_OTHERS),
    }
    reader.follow(TUTORIALS / "ci.md")


def test_devices(reader: Reader) -> None:
    reader.serve()
    reader.follow(TUTORIALS / "devices.md")


def test_web_sockets(reader: Reader) -> None:
    reader.serve()
    reader.follow(TUTORIALS / "web-sockets.md")


def test_own_ca(reader: Reader) -> None:
    required_program("mosquitto_pub")
    reader.serve()
    reader.follow(TUTORIALS / "own-ca.md")


def test_factory(reader: Reader) -> None:
    reader.replaced = {"1000": "3"}
    reader.follow(TUTORIALS / "factory.md")


def test_sizing(reader: Reader) -> None:
    reader.serve()
    reader.replaced = {
        "--devices 200 --duration 10": "--devices 3 --duration 0.1",
        "--devices 200 --csr": "--devices 3 --csr",
    }
    reader.follow(TUTORIALS / "sizing.md")


def test_every_tutorial_is_followed() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in TUTORIALS.glob("*.md") if f'TUTORIALS / "{path.name}"' not in tests] == []


def test_commands_and_what_they_print_are_read_from_a_page() -> None:
    page = (
        "```console\n$ one \\\n    two\nprinted\n$ cat > f <<'END'\n$ text\nEND\n```\n"
        "<!-- not run: a reason -->\n```console\n$ never\n```\n```toml\n$ never\n```\n"
    )
    assert list(commands_of(page)) == [
        Command("one \\\n    two", ("printed",)),
        Command("cat > f <<'END'\n$ text\nEND"),
    ]


def test_what_is_printed_is_compared() -> None:
    pattern = expected(("a…c", "…", "d"))
    assert pattern.fullmatch("abc\nd\n")
    assert pattern.fullmatch("ac\nmore\nand more\nd\n")
    assert not pattern.fullmatch("abc\n")
    assert not pattern.fullmatch("x\nd\n")
