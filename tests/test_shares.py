"""What operators and devices share in one process: neither side takes all of it."""

import resource

import pytest

from thingmint.host.listening import descriptors_for_connections
from thingmint.service.serving import shares_of
from thingmint.settings.config import load_config


def test_each_side_has_its_connections_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (65_536, 65_536))
    operators, devices = shares_of(load_config({"max_connections": 100}, {}))
    assert (operators, devices.max_connections, devices.max_connections_per_certificate) == (100, 10_000, 5_000)


@pytest.mark.parametrize(("data_plane", "descriptors_each"), [("local", 1), ("unix:/run/broker.sock", 2)])
def test_connections_of_both_sides_leave_descriptors_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, data_plane: str, descriptors_each: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 1024))
    operators, devices = shares_of(load_config({"mqtt_data_plane": data_plane}, {}))
    taken = operators + devices.max_connections * descriptors_each
    assert descriptors_for_connections() * 0.9 < taken <= descriptors_for_connections()


@pytest.mark.parametrize(("line", "places"), [(1, 1), (8, 6), (128, 96), (10_000, 128)])
def test_devices_leave_operators_a_place_in_the_line_for_keys(line: int, places: int) -> None:
    _, devices = shares_of(load_config({"max_waiting_for_keys": line}, {}))
    assert devices.max_provisioning == places


@pytest.mark.parametrize(("workers", "at_once"), [(1, 4), (2, 4), (8, 16)])
def test_keys_of_devices_are_made_for_each_worker_and_one_that_is_next(workers: int, at_once: int) -> None:
    _, devices = shares_of(load_config({"key_workers": workers}, {}))
    assert devices.max_provisioning_keys_at_once == at_once
