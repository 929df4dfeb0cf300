"""Several workers serve one data directory on the same ports; they are started again, and end with their parent."""

import os
import re
import signal
import ssl
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.support.clients.aws import Live
from tests.support.devices.live_devices import device, new_credentials
from tests.support.services.forked import run_thingmint
from tests.support.services.nodes import client_of, eventually
from tests.support.services.service import ended_start, running_service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        # One that nobody has waited for yet has ended, too.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def shown_requests(node: Live) -> dict[str, float]:
    """Return how many requests for things each worker has served, by its number."""
    found = re.findall(
        r'thingmint_requests_total\{worker="(\d+)",error="[^"]*",operation="ListThings"\} (\S+)', page(node)
    )
    return {number: float(count) for number, count in found}


def page(node: Live) -> str:
    context = ssl.create_default_context(cafile=str(node.ca_file))
    with urllib.request.urlopen(f"{node.service.endpoints.api}/metrics", context=context) as answer:
        return str(answer.read().decode())


def seconds_until_admitted(node: Live) -> int:
    """Return for how long the second of two calls has to wait."""
    client = client_of(node)
    client.describe_endpoint()
    with pytest.raises(ClientError) as refused:
        client.describe_endpoint()
    return int(refused.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"])


def names_of(node: Live, url: str) -> Sequence[str]:
    words = ("node", "list", "--data-dir", str(node.service.data_dir), "--database-url", url)
    passphrase = {**os.environ, "THINGMINT_CA_PASSPHRASE_FILE": str(node.service.data_dir.with_name("passphrase"))}
    listed = run_thingmint(*words, check=True, environment=passphrase).stdout
    return sorted(re.findall(r"\(worker \d+\)", listed))


def test_workers_share_ports_and_metrics_are_started_again_and_end_with_their_parent(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("the passphrase of the keys")
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "thingmint.toml").write_text("[quota]\nDescribeEndpoint = 0.01\n")
    options = ("--database-url", migrated_postgresql_url, "--mqtt", "127.0.0.1:0", "--workers", "2")
    sealed = (*options, "--ca-passphrase-file", str(passphrase))
    with running_service(tmp_path / "data", *sealed, key_reserve=2) as service:
        node = Live(service, migrated_postgresql_url)
        parent = service.process.pid
        workers = children_of(parent)
        assert len(workers) == 2
        assert sum("is ready" in line for line in service.greeting) == 1
        assert service.endpoints.pid == parent
        assert names_of(node, migrated_postgresql_url) == ["(worker 1)", "(worker 2)"]
        client_of(node).create_keys_and_certificate()
        # One call in 100 seconds is one in 200 on each of two nodes.
        assert 100 < seconds_until_admitted(node) <= 200

        # The kernel spreads connections over both, and either shows what both have counted.
        def listed() -> dict[str, float]:
            client = client_of(node)
            client.list_things()
            client.close()
            return shown_requests(node)

        eventually(listed, lambda found: found.keys() == {"1", "2"})
        with device(node, new_credentials(client_of(node)), tmp_path, "lamp") as lamp:
            lamp.subscribe("to/all")
            client_of(node, "iot-data").publish(topic="to/all", payload=b"1", qos=1)
            assert bytes(lamp.hear().payload) == b"1"

        # One that is lost is started again, and the other one serves meanwhile.
        os.kill(workers[0], signal.SIGKILL)
        eventually(lambda: children_of(parent), lambda found: len(found) == 2 and workers[0] not in found)
        assert "a worker has ended: it is started again" in service.log
        client_of(node, attempts=5).list_things()
        eventually(lambda: Counter(names_of(node, migrated_postgresql_url)), lambda found: found["(worker 1)"] >= 1)

        workers = children_of(parent)
        assert service.terminate() == 0
        assert service.log.count('"stopped"') == 1
        assert not any(map(is_alive, workers))
    with running_service(tmp_path / "data", *sealed, key_reserve=0) as service:
        workers = children_of(service.process.pid)
        service.kill()
        deadline = time.monotonic() + 60
        while any(map(is_alive, workers)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_workers_that_cannot_be_had_are_refused(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    said = ended_start(tmp_path / "sqlite", "--workers", "2")
    assert "workers = 2 needs database_url: on SQLite, one process serves the registry" in said
    assert not (tmp_path / "sqlite").exists()
