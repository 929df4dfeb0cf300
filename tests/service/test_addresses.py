"""How the service names itself: to devices, and to others in its endpoints file."""

import os
from pathlib import Path

import pytest

from thingmint.core.identifiers import AccountId
from thingmint.service.addresses import Ports, device_endpoint, endpoints_of, is_unnamed
from thingmint.settings.config import Config, load_config

OWN, OTHER = AccountId("111111111111"), AccountId("222222222222")


def config(tmp_path: Path, **environment: str) -> Config:
    return load_config({"data_dir": str(tmp_path)}, environment)


@pytest.mark.parametrize(
    ("names", "port", "told"),
    [
        ("localhost", 8883, "localhost"),
        ("localhost", 1234, "localhost:1234"),
        ("iot.example,localhost", 1234, "iot.example:1234"),
        ("::1", 8883, "::1"),
        ("::1", 1234, "[::1]:1234"),
    ],
)
def test_devices_are_told_a_port_only_if_they_would_not_find_it(
    tmp_path: Path, names: str, port: int, told: str
) -> None:
    assert device_endpoint(config(tmp_path, THINGMINT_SERVER_NAME=names), port, OWN) == told


@pytest.mark.parametrize(
    ("names", "own", "other"),
    [
        ("localhost,222222222222.iot.example", "localhost", "222222222222.iot.example"),
        ("222222222222.iot.example,localhost", "localhost", "222222222222.iot.example"),
        ("111111111111.a,222222222222.a,iot.example", "111111111111.a", "222222222222.a"),
        # There is no other name.
        ("111111111111.a", "111111111111.a", "111111111111.a"),
        ("1111111111111.a,127.0.0.1", "1111111111111.a", "1111111111111.a"),
    ],
)
def test_devices_are_told_a_name_that_does_not_name_another_account(
    tmp_path: Path, names: str, own: str, other: str
) -> None:
    named = config(tmp_path, THINGMINT_SERVER_NAME=names)
    assert (device_endpoint(named, 8883, OWN), device_endpoint(named, 8883, OTHER)) == (own, other)


def test_endpoints_are_those_that_the_service_got(tmp_path: Path) -> None:
    endpoints = endpoints_of(config(tmp_path), Ports(1, 2, None))

    assert (endpoints.api, endpoints.api_port) == ("https://127.0.0.1:1", 1)
    assert (endpoints.mqtt, endpoints.mqtt_port) == ("127.0.0.1:2", 2)
    assert (endpoints.mqtt_alpn, endpoints.mqtt_alpn_port) == (None, None)
    assert endpoints.ca_file == str((tmp_path / "ca.pem").resolve())
    assert endpoints.pid == os.getpid()


def test_the_second_port_is_told_by_a_name_that_the_certificate_proves(tmp_path: Path) -> None:
    endpoints = endpoints_of(config(tmp_path, THINGMINT_MQTT_ALPN="0.0.0.0:443"), Ports(1, 2, 443))

    assert (endpoints.mqtt_alpn, endpoints.mqtt_alpn_port) == ("localhost:443", 443)


def test_an_address_that_the_certificate_does_not_hold_is_told_by_name(tmp_path: Path) -> None:
    told = endpoints_of(config(tmp_path, THINGMINT_API="0.0.0.0:1", THINGMINT_MQTT="0.0.0.0:2"), Ports(1, 2, None))

    assert (told.api, told.mqtt) == ("https://localhost:1", "localhost:2")


def test_plain_http_needs_no_trust_anchor(tmp_path: Path) -> None:
    told = endpoints_of(config(tmp_path, THINGMINT_INSECURE_HTTP="1"), Ports(1, 2, None))

    assert (told.api, told.ca_file) == ("http://127.0.0.1:1", None)


@pytest.mark.parametrize(
    ("api", "names", "expected"),
    [
        ("0.0.0.0:8443", None, True),
        ("[::]:8443", "localhost", True),
        ("0.0.0.0:8443", "iot.example", False),
        ("0.0.0.0:8443", "localhost,10.0.0.5", False),
        ("127.0.0.1:8443", None, False),
        ("10.0.0.5:8443", None, False),
    ],
)
def test_serving_other_machines_needs_a_name(tmp_path: Path, api: str, names: str | None, expected: bool) -> None:
    given = {"THINGMINT_API": api} | ({} if names is None else {"THINGMINT_SERVER_NAME": names})
    assert is_unnamed(config(tmp_path, **given)) is expected


def test_serving_other_machines_at_the_second_port_alone_needs_a_name_too(tmp_path: Path) -> None:
    assert is_unnamed(config(tmp_path, THINGMINT_MQTT_ALPN="0.0.0.0:443"))
    assert not is_unnamed(config(tmp_path, THINGMINT_MQTT_ALPN="0.0.0.0:443", THINGMINT_SERVER_NAME="iot.example"))


def test_an_address_of_the_second_port_is_told_and_in_the_certificate(tmp_path: Path) -> None:
    given = config(tmp_path, THINGMINT_MQTT_ALPN="10.0.0.7:443")
    assert "10.0.0.7" in given.server_names
    assert endpoints_of(given, Ports(1, 2, 443)).mqtt_alpn == "10.0.0.7:443"
