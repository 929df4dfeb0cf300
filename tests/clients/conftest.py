"""Owns the live services that AWS's clients are tried on: one for each storage and session."""

import functools
import json
import os
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.brokers.mosquitto import mosquitto
from tests.support.clients.aws import SUCCEEDED, AccessKey, ClientOf, IoT, Live
from tests.support.clients.parity import PAGE, proofs
from tests.support.databases.postgresql import new_database
from tests.support.machine.required import required_program
from tests.support.machine.soak import in_soak_only
from tests.support.services.service import Service, running_service

IDENTITIES = 36
"""Enough that each bit of the serial numbers shows both values, but for one session in a hundred million."""


_RECORD = os.environ.get("THINGMINT_PARITY_RECORD")
"""Where a run writes which test proves which operation; see `tests/support/clients/parity.py`."""


@pytest.fixture(autouse=True)
def _new_test() -> None:
    """Forget what was called for others: fixtures that live longer than a test come before this one."""
    SUCCEEDED.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hold each test to what it is named as the proof of, and take note of what it proves."""
    report = yield
    if call.when != "call" or not report.passed:
        return report
    test, _, engine = item.nodeid.partition("[")
    missing = {name for name, proof in _proofs().items() if proof == test} - SUCCEEDED
    if missing and _RECORD is None:
        report.outcome = "failed"
        report.longrepr = f"this test is the proof that {', '.join(sorted(missing))} works, and was not answered 200"
    item.config.stash.setdefault(_PROVED, {}).setdefault(test, {})[engine] = frozenset(SUCCEEDED)
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave PostgreSQL, in each run, to tests that prove an operation or depend on the engine; see `in_soak_only`."""
    if _RECORD is None:
        in_soak_only(config, items, [item for item in items if _needs_one_engine(item)])


def _needs_one_engine(item: pytest.Item) -> bool:
    """Return whether a variant on PostgreSQL finds what the one on SQLite and the engines' own tests find.

    Every operation is proved on both. Tests of `records` and `storage` run each statement on both.
    """
    on_engine = isinstance(item, pytest.Function) and getattr(item, "callspec", None)
    if not on_engine or "postgresql" not in (on_engine.params.get("live"), on_engine.params.get("registry")):
        return False
    if item.get_closest_marker("engines"):
        return False
    return item.nodeid.partition("[")[0] not in _proofs().values()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the record: what a test proves in each of its variants."""
    if _RECORD is None:
        return
    proved = session.config.stash.get(_PROVED, {})
    record = {test: sorted(frozenset.intersection(*variants.values())) for test, variants in proved.items()}
    Path(_RECORD).write_text(json.dumps(record))


_PROVED = pytest.StashKey[dict[str, dict[str, frozenset[str]]]]()


@functools.cache
def _proofs() -> Mapping[str, str]:
    return proofs() if PAGE.exists() else {}


@pytest.fixture(scope="session", autouse=True)
def _nobody_elses_settings() -> Iterator[None]:
    """Keep the developer's own AWS settings and proxies away from clients, and clients away from the network."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost"))))
        yield


def buckets(folder: Path) -> tuple[str, str]:
    """Return the flag of a directory of buckets, where `Live.registration_dir` looks for it."""
    (folder / "buckets").mkdir()
    return "--registration-dir", str(folder / "buckets")


def no_request_failed(service: Service) -> None:
    """Assert that the service met no fault of its own: a client that repeats its request would hide one."""
    failures = [line for line in service.log_file.read_text(errors="replace").splitlines() if "request failed" in line]
    assert failures == []


@pytest.fixture(scope="session")
def live_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The session's service on SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    with running_service(folder / "data", "--est", "127.0.0.1:0", *buckets(folder)) as service:
        yield Live(service, None)
    no_request_failed(service)


@pytest.fixture(scope="session")
def live_on_postgresql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The session's service on PostgreSQL."""
    for url in new_database(request.getfixturevalue("postgresql_server_url")):
        folder = tmp_path_factory.mktemp("postgresql")
        with running_service(
            folder / "data", "--database-url", url, "--est", "127.0.0.1:0", *buckets(folder)
        ) as service:
            yield Live(service, url)
        no_request_failed(service)


@pytest.fixture(scope="session")
def live_on_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The session's service with a Mosquitto that carries messages between devices."""
    folder = tmp_path_factory.mktemp("relay")
    with mosquitto() as broker, running_service(folder / "data", "--mqtt-data-plane", broker.address) as service:
        yield Live(service, None)
    no_request_failed(service)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def live(request: pytest.FixtureRequest) -> Live:
    """The session's service on each storage in turn; neither stops when the storage changes."""
    service: Live = request.getfixturevalue(f"live_on_{request.param}")
    return service


@pytest.fixture(scope="session")
def closing() -> Iterator[ExitStack]:
    """Closes at the session's end what is pushed on it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def administrators(closing: ExitStack) -> Callable[[Live], IoT]:
    """Returns the administrator's client of a service, always the same one."""
    clients: dict[str, IoT] = {}

    def administrator_of(live: Live) -> IoT:
        endpoint = live.service.endpoints.api
        if endpoint not in clients:
            clients[endpoint] = live.client()
            closing.callback(clients[endpoint].close)
        return clients[endpoint]

    return administrator_of


@pytest.fixture
def iot(live: Live, administrators: Callable[[Live], IoT]) -> IoT:
    """The administrator's client."""
    return administrators(live)


@pytest.fixture
def client_of() -> Iterator[ClientOf]:
    """Makes clients with other keys or settings, and closes them after the test."""
    with ExitStack() as stack:

        def make(live: Live, key: AccessKey | None = None, service: str = "iot", **settings: object) -> IoT:
            client = live.client(key, service, **settings)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture(scope="session")
def identities(live: Live, administrators: Callable[[Live], IoT]) -> tuple[dict[str, Any], ...]:
    """Some dozens of answers to CreateKeysAndCertificate."""
    client = administrators(live)
    return tuple(client.create_keys_and_certificate(setAsActive=True) for _ in range(IDENTITIES))


@pytest.fixture
def identity_files(identities: tuple[dict[str, Any], ...], tmp_path: Path) -> Path:
    """A folder with one issued identity: ``cert.pem``, ``key.pem``, ``pub.pem``."""
    (tmp_path / "cert.pem").write_text(identities[0]["certificatePem"])
    (tmp_path / "key.pem").write_text(identities[0]["keyPair"]["PrivateKey"])
    (tmp_path / "pub.pem").write_text(identities[0]["keyPair"]["PublicKey"])
    return tmp_path


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command that runs the classes of this folder, in a Java that is set up for short runs.

    Java can run a source, too, but compiles it each time, which takes ten times as long as the run.
    """
    program, classes = required_program("java"), tmp_path_factory.mktemp("java")
    compile_them = (program, "-m", "jdk.compiler/com.sun.tools.javac.Main", "-d", str(classes))
    subprocess.run([*compile_them, *map(str, Path(__file__).parent.glob("*.java"))], check=True)
    return program, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", str(classes)
