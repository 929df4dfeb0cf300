"""The number of processor cores where the system does not tell which a process may use."""

import os

import pytest

from thingmint.host.cores import usable_cores


def test_cores_are_counted_where_affinity_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == os.cpu_count()
