"""A full disk: creations are refused as AWS refuses, reads go on, and freed space heals without a restart."""

import contextlib
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.client import client_of, create_keys, describe, listed_ids
from tests.support.service import Service, running_service

from thingmint.cli.connection import ServiceRefused, SignedClient

SIZE = "12m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    mountpoint = tmp_path / "disk"
    mountpoint.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(mountpoint)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        if os.environ.get("THINGMINT_REQUIRE_ALL") == "1":
            pytest.fail(f"cannot mount a small file system: {mounted.stderr.decode()}")
        pytest.skip("mounting a small file system needs root")
    try:
        yield mountpoint
    finally:
        subprocess.run(["umount", str(mountpoint)], check=True)


def fill(ballast: Path) -> None:
    """Take all space that is left."""
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def readiness(service: Service) -> int:
    context = ssl.create_default_context(cafile=service.endpoints.ca_file)
    try:
        with urllib.request.urlopen(f"{service.endpoints.api}/readyz", context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def refusal_when_full(client: SignedClient) -> ServiceRefused:
    """Create until the disk has no room left for it."""
    for _ in range(2000):
        try:
            create_keys(client)
        except ServiceRefused as refused:
            return refused
    raise AssertionError("the disk never became full")


def test_full_disk_refuses_creations_serves_reads_and_heals(small_disk: Path, tmp_path: Path) -> None:
    ballast = small_disk / "ballast"
    with running_service(small_disk / "data", log_file=tmp_path / "log") as service:
        client = client_of(service)
        before = create_keys(client)
        fill(ballast)

        refused = refusal_when_full(client)
        assert (refused.status, refused.name) == (503, "ServiceUnavailableException")
        assert describe(client, before.certificate_id)["status"] == "ACTIVE"
        with_full_disk = listed_ids(client)
        assert readiness(service) == 503

        ballast.unlink()
        after = create_keys(client)
        assert readiness(service) == 200
        assert listed_ids(client) == [after.certificate_id, *with_full_disk]
        assert service.process.poll() is None
    with running_service(small_disk / "data", log_file=tmp_path / "log") as service:
        assert listed_ids(client_of(service)) == [after.certificate_id, *with_full_disk]


def test_service_on_a_full_disk_says_so_at_its_first_start(small_disk: Path, tmp_path: Path) -> None:
    fill(small_disk / "ballast")
    with (
        pytest.raises(AssertionError, match="No space left on device"),
        running_service(small_disk / "data", log_file=tmp_path / "log"),
    ):
        raise AssertionError("it started")
