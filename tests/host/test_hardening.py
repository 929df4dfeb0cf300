"""What the process asks of the operating system: applied in a child of its own, since none of it can be taken back."""

import ctypes
import json
import os
import platform
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.services.memory import found_in_memory

from thingmint.host import hardening
from thingmint.host.hardening import WIPING_ENVIRONMENT, Hardening, harden_process

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can overwrite what is freed")

SHOW = """
import ctypes, json, os, resource, sys
from thingmint.host.hardening import harden_process
applied = harden_process(wipe_freed_memory=True)._asdict()
with open(sys.argv[1], "w") as file:
    json.dump({
        "applied": applied,
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE),
        "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else None,
    }, file)
"""

GENERATE = """
import os, sys
from thingmint.host.hardening import _wipe_freed_memory
from thingmint.issuance.keys.key_pairs import generate_key_pair
if sys.argv[1] == "wiped":
    assert _wipe_freed_memory()
for _ in range(12):
    os.write(1, generate_key_pair().private_key_pem)
os.write(1, b"done")
sys.stdin.read(1)
"""


@needs_linux
def test_core_dumps_and_debuggers_are_turned_away_and_new_files_are_private(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    subprocess.run([sys.executable, "-c", SHOW, str(report)], check=True)
    seen = json.loads(report.read_text())
    assert seen["core"] == [0, 0]
    assert seen["dumpable"] == 0
    soft, hard = seen["descriptors"]
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    assert soft == max(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert seen["applied"] == {
        "core_dumps_off": True,
        "not_dumpable": True,
        "freed_memory_wiped": platform.libc_ver()[0] == "glibc",
        "descriptors": soft,
    }


def keys_left_readable(mode: str, environment: dict[str, str]) -> int:
    """Count the private keys that a process has given away and dropped, and that its memory still shows."""
    with subprocess.Popen(
        [sys.executable, "-c", GENERATE, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            given = b""
            while not given.endswith(b"done"):
                piece = os.read(child.stdout.fileno(), 65536)
                assert piece
                given += piece
            # A line in the middle of each key: 48 bytes that exist nowhere else.
            lines = [key.splitlines()[12] for key in given.split(b"-----BEGIN RSA PRIVATE KEY-----\n")[1:]]
            assert len(lines) == 12
            return len(found_in_memory(child.pid, lines))
        finally:
            child.stdin.close()


@needs_linux
@needs_glibc
def test_private_keys_do_not_stay_in_freed_memory() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in WIPING_ENVIRONMENT}
    # Without the measures there are some, so that finding none means something.
    assert keys_left_readable("plain", environment) > 0
    assert keys_left_readable("wiped", {**environment, **WIPING_ENVIRONMENT}) == 0


class ForeignLibrary:
    """A C library that has none of the calls."""


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the calls from changing the process of the tests."""
    monkeypatch.setattr(os, "umask", lambda mode: 0)
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: ForeignLibrary())


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("system", ["darwin", "linux"])
def test_what_a_platform_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (65_536, 65_536))
    assert harden_process(wipe_freed_memory=True) == Hardening(
        core_dumps_off=True, not_dumpable=False, freed_memory_wiped=False, descriptors=65_536
    )


@pytest.mark.usefixtures("untouched")
def test_limits_that_cannot_be_changed_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int, limits: tuple[int, int]) -> None:
        raise OSError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, resource.RLIM_INFINITY))
    applied = harden_process()
    assert not applied.core_dumps_off
    assert applied.descriptors == 100


def test_memory_is_wiped_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, untouched: None) -> None:
    monkeypatch.setattr(hardening, "_wipe_freed_memory", lambda: True)
    assert harden_process(wipe_freed_memory=True).freed_memory_wiped
    assert not harden_process().freed_memory_wiped
