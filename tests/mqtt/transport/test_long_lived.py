"""Objects of many connections are left alone by the garbage collector, until many of these have ended."""

import gc
from collections.abc import Iterator

import pytest

from thingmint.mqtt.transport.long_lived import LongLivedObjects


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    # As it was: the collector leaves collected tests and modules alone.
    gc.freeze()


def test_objects_of_new_connections_are_frozen_once_they_are_many() -> None:
    objects = LongLivedObjects()
    objects.observe(249)
    assert gc.get_freeze_count() == 0
    objects.observe(250)
    frozen = gc.get_freeze_count()
    assert frozen > 0
    kept: list[list[int]] = [[] for _ in range(1000)]
    objects.observe(499)
    assert gc.get_freeze_count() <= frozen
    objects.observe(500)
    assert gc.get_freeze_count() >= frozen + len(kept) - 500


def test_everything_is_looked_at_again_after_many_connections_have_ended() -> None:
    objects = LongLivedObjects()
    objects.observe(1000)
    objects.observe(751)
    assert gc.get_freeze_count() > 0
    objects.observe(750)
    assert gc.get_freeze_count() == 0
