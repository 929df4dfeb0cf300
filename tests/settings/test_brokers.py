"""The brokers behind the relay: what settings of them are taken, and what they become."""

from pathlib import Path

import pytest
from tests.support.brokers.broker import SCOPE

from thingmint.core.identifiers import AccountId
from thingmint.mqtt.codec.packets import ProtocolVersion
from thingmint.service.devices.brokers import brokers_of, exposed
from thingmint.settings.config import Config, StartRefused, load_config
from thingmint.settings.forms import ConfigError
from thingmint.settings.table import BY_NAME

ADDRESSES = 'addresses = ["tls:one.example.com:8883", "tls:two.example.com:8883"]\n'


def config(tmp_path: Path, toml: str) -> Config:
    (tmp_path / "thingmint.toml").write_text(toml)
    return load_config({"data_dir": str(tmp_path)}, {})


def tables(*lines: str, name: str = "default") -> str:
    return "\n".join(['mqtt_data_plane = "brokers"', f"[mqtt_brokers.{name}]", *lines])


def test_the_built_in_broker_is_no_broker_behind_the_relay(tmp_path: Path) -> None:
    assert brokers_of(config(tmp_path, ""), SCOPE) is None


def test_addresses_of_nodes_are_separated_by_commas(tmp_path: Path) -> None:
    brokers = brokers_of(config(tmp_path, 'mqtt_data_plane = "tcp:127.0.0.1:1, unix:/run/b"'), SCOPE)
    assert brokers is not None
    assert str(brokers.default) == "tcp:127.0.0.1:1, unix:/run/b"
    assert list(exposed(brokers)) == []


def test_plain_addresses_elsewhere_are_warned_of(tmp_path: Path) -> None:
    brokers = brokers_of(config(tmp_path, 'mqtt_data_plane = "tcp:10.0.0.5:1883"'), SCOPE)
    assert brokers is not None
    assert ["without encryption" in each for each in exposed(brokers)] == [True]


def test_each_account_may_have_a_broker_of_its_own(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("xyzzy")
    toml = tables(ADDRESSES, 'version = "3.1.1"', 'username = "fleet"', f'password_file = "{password}"')
    toml += '\n[mqtt_brokers.222222222222]\naddresses = ["unix:/run/b"]\npassword = "{certificate_id}"\n'
    given = config(tmp_path, toml)
    brokers = brokers_of(given, SCOPE)

    assert brokers is not None
    assert brokers.default is not None
    assert brokers.default.version is ProtocolVersion.MQTT_3_1_1
    assert brokers.default.credentials.login("a", "b", SCOPE.account).password == b"xyzzy"
    other = brokers.by_account[AccountId("222222222222")]
    login = other.credentials.login("ab", "device", SCOPE.account)
    assert (login.username, login.password, other.version) == ("ab", b"ab", None)
    assert "xyzzy" not in repr(given) + str(BY_NAME["mqtt_brokers"].form.shown(given.mqtt_brokers))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('mqtt_data_plane = "mqtt://host"', "must hold unix:/path"),
        ('mqtt_data_plane = "brokers"', "only then"),
        ("[mqtt_brokers.default]\n" + ADDRESSES, "only then"),
        (tables(ADDRESSES, name="other"), "twelve digits"),
        (tables("addresses = []"), "at least one"),
        (tables('addresses = ["tcp:host"]'), "host:port"),
        (tables(ADDRESSES, "user = 'x'"), "user"),
        (tables(ADDRESSES, "version = '4'"), "must be one of auto, 5, 3.1.1"),
        (tables(ADDRESSES, "username = 'x'", "username_file = 'y'"), "not both"),
        (tables(ADDRESSES, "username = '{name}'"), "and not {name}"),
        (tables(ADDRESSES, "password = 'literal'"), "use password_file"),
        (tables(ADDRESSES, "certificate_file = 'x'"), "together"),
        (tables('addresses = ["tcp:10.0.0.1:1"]', "ca_file = 'x'"), "begin with tls:"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, toml: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(tmp_path, toml)
    assert words in str(refused.value)
    assert "literal" not in str(refused.value)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (tables(ADDRESSES, "ca_file = '/nonexistent/ca.pem'"), "No such file"),
        (tables(ADDRESSES, "password_file = '/nonexistent/password'"), "/nonexistent/password"),
        ('mqtt_data_plane = "tcp:two words:1"', "tcp:HOST:PORT"),
    ],
)
def test_what_cannot_be_used_stops_the_start(tmp_path: Path, toml: str, words: str) -> None:
    with pytest.raises(StartRefused, match=words):
        brokers_of(config(tmp_path, toml), SCOPE)
