"""What operators and devices share in one process: neither side takes all of it."""

import resource

import pytest

from thingmint.host.connections.listening import descriptors_for_connections
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.service.devices.connection_limits import broker_limits, relay_limits, shares_of
from thingmint.settings.config import load_config
from thingmint.settings.setting import Group
from thingmint.settings.table import SETTINGS


def test_each_side_has_its_connections_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (65_536, 65_536))
    operators, devices, *_ = shares_of(load_config({"max_connections": 100}, {}))
    assert (operators, devices.max_connections, devices.max_connections_per_certificate) == (100, 10_000, 5_000)


@pytest.mark.parametrize(("data_plane", "descriptors_each"), [("local", 1), ("unix:/run/broker.sock", 2)])
def test_connections_of_both_sides_leave_descriptors_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, data_plane: str, descriptors_each: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 1024))
    operators, devices, *_ = shares_of(load_config({"mqtt_data_plane": data_plane}, {}))
    taken = operators + devices.max_connections * descriptors_each
    assert descriptors_for_connections() * 0.9 < taken <= descriptors_for_connections()


@pytest.mark.parametrize(("line", "places"), [(1, 1), (8, 6), (128, 96), (10_000, 128)])
def test_devices_leave_operators_a_place_in_the_line_for_keys(line: int, places: int) -> None:
    devices = shares_of(load_config({"max_waiting_for_keys": line}, {})).devices
    assert devices.max_provisioning == places


@pytest.mark.parametrize(("workers", "at_once"), [(1, 4), (2, 4), (8, 16)])
def test_keys_of_devices_are_made_for_each_worker_and_one_that_is_next(workers: int, at_once: int) -> None:
    devices = shares_of(load_config({"key_workers": workers}, {})).devices
    assert devices.max_provisioning_keys_at_once == at_once


def test_the_limits_of_devices_and_brokers_are_settings_with_the_same_defaults() -> None:
    config = load_config({}, {})
    assert broker_limits(config) == BrokerLimits()
    assert relay_limits(config) == RelayLimits()
    plain, devices = GatewayLimits(), shares_of(config).devices
    times = [name for name in GatewayLimits.__slots__ if name.endswith(("_seconds", "_grace"))]
    assert {name: getattr(devices, name) for name in times} == {name: getattr(plain, name) for name in times}


def test_every_setting_of_a_limit_sets_one() -> None:
    """Another value is given for each, and arrives in the limit of the same name."""
    names = [setting.name for setting in SETTINGS if setting.group in (Group.DEVICE_TIMES, Group.BROKER)]
    assert len(names) > 15
    given = {name: "1.25" if name.endswith(("_seconds", "_grace")) else "1025" for name in names}
    config = load_config(dict(given), {})
    limits = {"mqtt_": (broker_limits(config), shares_of(config).devices), "mqtt_broker_": (relay_limits(config),)}
    found = {
        prefix + name: getattr(each, name)
        for prefix, kinds in limits.items()
        for each in kinds
        for name in type(each).__slots__
    }
    assert {name: found[name] for name in names} == {name: float(value) for name, value in given.items()}
