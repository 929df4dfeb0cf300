"""Settings: where they may be given, which wins, and what is refused."""

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from thingmint.cli.commands import main
from thingmint.core.host_names import is_loopback
from thingmint.settings.address_forms import Address, has_password, parse_address
from thingmint.settings.config import Config, Origin, Source, load_config
from thingmint.settings.forms import ConfigError
from thingmint.settings.setting import Places
from thingmint.settings.table import SETTINGS


def config(tmp_path: Path, *, toml: str = "", flags: dict[str, object] | None = None, **environment: str) -> Config:
    (tmp_path / "thingmint.toml").write_text(toml)
    return load_config({"data_dir": str(tmp_path), **(flags or {})}, environment)


def refusal(tmp_path: Path, environment: dict[str, str], toml: str = "") -> str:
    with pytest.raises(ConfigError) as refused:
        config(tmp_path, toml=toml, flags=None, **environment)
    return str(refused.value)


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    plain = config(tmp_path)
    assert plain.api == Address("127.0.0.1", 8443)
    assert (plain.account, plain.region) == ("000000000000", "us-east-1")
    assert plain.server_names == ("localhost", "127.0.0.1")
    assert plain.key_reserve == 64
    assert plain.quota == "none"
    assert not plain.insecure_http
    assert plain.database_url is None


def test_data_directory_defaults_to_a_folder_beside_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config({}, {}).data_dir == Path("thingmint-data")


def test_second_address_for_devices_is_off_unless_it_is_given(tmp_path: Path) -> None:
    assert config(tmp_path).mqtt_alpn is None
    assert config(tmp_path, toml='mqtt_alpn = "0.0.0.0:443"').mqtt_alpn == Address("0.0.0.0", 443)
    # Two ports that the system chooses are two ports.
    both = config(tmp_path, THINGMINT_MQTT="127.0.0.1:0", THINGMINT_MQTT_ALPN="127.0.0.1:0")
    assert both.mqtt_alpn == both.mqtt == Address("127.0.0.1", 0)


def test_flag_wins_over_environment_and_environment_over_file(tmp_path: Path) -> None:
    toml = 'region = "eu-west-1"\naccount = "111111111111"\nkey_reserve = 3\n'
    given = config(
        tmp_path, toml=toml, flags={"region": "us-west-2"}, THINGMINT_REGION="eu-north-1", THINGMINT_KEY_RESERVE="5"
    )
    assert (given.region, given.account, given.key_reserve) == ("us-west-2", "111111111111", 5)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], r"console +off +file "),
        (["--console"], r"console +on +flag --console\n"),
        (["--no-console"], r"console +off +flag --no-console\n"),
    ],
)
def test_a_switch_that_is_on_by_default_can_be_turned_off_by_a_flag(
    tmp_path: Path, flags: list[str], line: str
) -> None:
    assert config(tmp_path).console
    (tmp_path / "thingmint.toml").write_text("console = false")
    shown = CliRunner().invoke(main, ["settings", "--data-dir", str(tmp_path), "--given", *flags])
    assert re.search(line, shown.output)


def test_repeatable_and_switch_flags_that_are_absent_leave_the_file_in_force(tmp_path: Path) -> None:
    toml = 'server_name = ["ca.example.com"]\ninsecure_http = true\n'
    given = config(tmp_path, toml=toml, flags={"server_name": (), "insecure_http": False})
    assert given.server_names == ("ca.example.com",)
    assert given.insecure_http


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"THINGMINT_API": "10.0.0.5:8443"}, ("localhost", "127.0.0.1", "10.0.0.5")),
        (
            {"THINGMINT_API": "10.0.0.5:1", "THINGMINT_MQTT": "10.0.0.6:2"},
            ("10.0.0.6", "localhost", "127.0.0.1", "10.0.0.5"),
        ),
        ({"THINGMINT_API": "127.0.0.1:0", "THINGMINT_MQTT": "0.0.0.0:2"}, ("localhost", "127.0.0.1")),
        ({"THINGMINT_API": "[::]:1"}, ("localhost", "127.0.0.1")),
        ({"THINGMINT_API": "[fe80::1%eth0]:1"}, ("localhost", "127.0.0.1")),
        ({"THINGMINT_API": "host.example:1"}, ("localhost", "127.0.0.1", "host.example")),
        ({"THINGMINT_API": "10.0.0.5:1", "THINGMINT_SERVER_NAME": "a.example"}, ("a.example", "10.0.0.5")),
        ({"THINGMINT_SERVER_NAME": "a.example"}, ("a.example",)),
        ({"THINGMINT_MQTT_ALPN": "10.0.0.7:443"}, ("localhost", "127.0.0.1", "10.0.0.7")),
        ({"THINGMINT_MQTT_ALPN": "0.0.0.0:443"}, ("localhost", "127.0.0.1")),
        ({"THINGMINT_API": "127.0.0.2:1", "THINGMINT_INSECURE_HTTP": "1"}, ("localhost", "127.0.0.1")),
    ],
)
def test_addresses_that_are_given_are_names_of_the_server(
    tmp_path: Path, given: dict[str, str], names: tuple[str, ...]
) -> None:
    assert load_config({"data_dir": str(tmp_path)}, given).server_names == names


def test_server_names_in_the_environment_are_separated_by_commas(tmp_path: Path) -> None:
    assert config(tmp_path, THINGMINT_SERVER_NAME="a.example,10.0.0.1,a.example").server_names == (
        "a.example",
        "10.0.0.1",
    )


def test_quota_is_a_profile_or_a_table_of_rates(tmp_path: Path) -> None:
    assert config(tmp_path, toml='quota = "aws"').quota == "aws"
    assert config(tmp_path, toml="[quota]\nCreateKeysAndCertificate = 2.5\n").quota == {"CreateKeysAndCertificate": 2.5}
    assert config(tmp_path, toml="[quota]\nX = 1\n", THINGMINT_QUOTA="aws").quota == "aws"


def test_administrator_key_is_read_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-some-length\n")
    given = config(
        tmp_path,
        THINGMINT_ROOT_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        THINGMINT_ROOT_SECRET_ACCESS_KEY_FILE=str(secret),
    )
    assert given.root_secret_access_key == "a-secret-of-some-length"


def test_secrets_do_not_show_in_the_repr(tmp_path: Path) -> None:
    given = config(
        tmp_path,
        THINGMINT_ROOT_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        THINGMINT_ROOT_SECRET_ACCESS_KEY="a-secret-of-some-length",
        THINGMINT_DATABASE_URL="postgresql://u:pa55word@db/x",
    )
    assert "a-secret" not in repr(given)
    assert "pa55word" not in repr(given)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"THINGMINT_API": "8443"}, "api"),
        ({"THINGMINT_API": "localhost:99999"}, "api"),
        ({"THINGMINT_API": ":8443"}, "api"),
        ({"THINGMINT_MQTT_ALPN": "443"}, "mqtt_alpn"),
        ({"THINGMINT_MQTT_ALPN": "127.0.0.1:8883"}, "mqtt_alpn must be another address"),
        ({"THINGMINT_EST": "127.0.0.1:8443"}, "est must be another address"),
        ({"THINGMINT_EST": "0.0.0.0:9443", "THINGMINT_TEST_MODE": "1"}, "est is 0.0.0.0"),
        ({"THINGMINT_ACCOUNT": "123"}, "account"),
        ({"THINGMINT_REGION": "moon"}, "region"),
        ({"THINGMINT_SERVER_NAME": "not a name"}, "server_name"),
        ({"THINGMINT_SERVER_NAME": ""}, "server_name"),
        ({"THINGMINT_INSECURE_HTTP": "maybe"}, "insecure_http"),
        ({"THINGMINT_INSECURE_HTTP": "1", "THINGMINT_API": "0.0.0.0:80"}, "insecure_http"),
        ({"THINGMINT_KEY_RESERVE": "-1"}, "key_reserve"),
        ({"THINGMINT_KEY_RESERVE": "many"}, "key_reserve"),
        ({"THINGMINT_CA_KEY_TYPE": "rsa-1024"}, "ca_key_type"),
        ({"THINGMINT_QUOTA": "azure"}, "quota"),
        ({"THINGMINT_LOG_LEVEL": "loud"}, "log_level"),
        ({"THINGMINT_DATABASE_URL": "mysql://u:pa55word@db/x"}, "database_url"),
        ({"THINGMINT_ROOT_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, "root_secret_access_key"),
        (
            {"THINGMINT_ROOT_ACCESS_KEY_ID": "x", "THINGMINT_ROOT_SECRET_ACCESS_KEY": "long-enough"},
            "root_access_key_id",
        ),
        (
            {"THINGMINT_ROOT_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "THINGMINT_ROOT_SECRET_ACCESS_KEY": "abc"},
            "root_secret_access_key",
        ),
        (
            {
                "THINGMINT_ROOT_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                "THINGMINT_ROOT_SECRET_ACCESS_KEY_FILE": "/nonexistent",
            },
            "THINGMINT_ROOT_SECRET_ACCESS_KEY_FILE",
        ),
    ],
)
def test_refusal_names_the_setting(tmp_path: Path, environment: dict[str, str], named: str) -> None:
    message = refusal(tmp_path, environment)
    assert named in message
    assert "pa55word" not in message


@pytest.mark.parametrize(
    "toml", ["colour = 1", "region = ", 'key_reserve = "x"', "[quota]\nX = 0\n", "[quota]\nX = inf\n"]
)
def test_file_with_a_mistake_is_refused(tmp_path: Path, toml: str) -> None:
    assert refusal(tmp_path, {}, toml)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("colour = 1", "colour is no setting"),
        ("key_reserv = 1", "key_reserv is no setting; did you mean key_reserve?"),
        ("[hook]", "hook is no setting; did you mean hooks?"),
        (
            'data_dir = "x"',
            "data_dir cannot be set in this file: give THINGMINT_DATA_DIR in the environment",
        ),
        (
            'root_access_key_id = "abcdefgh"',
            "root_access_key_id cannot be set in this file: give THINGMINT_ROOT_ACCESS_KEY_ID in the environment",
        ),
        ("api = 1", "api must be text, not a whole number"),
        ("server_name = [1]", "server_name[0] must be text, not a whole number"),
        ("quota = 1", "quota must be text or a table, not a whole number"),
        ('key_reserve = "x"', "key_reserve must be a whole number, not text"),
        ('[quota]\nX = "a"', "a value in quota must be a number, not text"),
    ],
)
def test_what_does_not_fit_in_the_file_is_told_in_its_words(tmp_path: Path, toml: str, words: str) -> None:
    assert refusal(tmp_path, {}, toml) == f"{tmp_path / 'thingmint.toml'}: {words}"


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thingmint.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config({"data_dir": str(tmp_path)}, {})


def test_addresses_of_ip_version_6_are_written_in_brackets() -> None:
    assert parse_address("[::1]:8443", "api") == Address("::1", 8443)
    assert str(Address("::1", 8443)) == "[::1]:8443"


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("host", False)]
)
def test_loopback_addresses_are_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_the_help_of_a_command_names_every_default() -> None:
    # Lines are broken between words, and within some.
    shown = "".join(CliRunner().invoke(main, ["serve", "--help"]).output.split())
    flags = [setting for setting in SETTINGS if Places.FLAG in setting.places and setting.default_text is not None]
    assert [setting.name for setting in flags if setting.default == 0] == ["key_workers"]
    for setting in flags:
        option = f"{setting.meaning} [default: {setting.default_text}] [env: {setting.variable}]"
        assert "".join(option.split()) in shown


def test_the_help_has_a_heading_for_each_group() -> None:
    shown = CliRunner().invoke(main, ["serve", "--help"]).output
    groups = {setting.group for setting in SETTINGS if Places.FLAG in setting.places}
    assert [line for line in shown.splitlines() if line.removesuffix(":") in groups] == [
        f"{group}:" for group in dict.fromkeys(setting.group for setting in SETTINGS) if group in groups
    ]


def test_the_help_of_issue_has_headings_for_its_own_flags() -> None:
    shown = CliRunner().invoke(main, ["issue", "--help"]).output
    headings = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Options:",
        "Devices of a list:",
        "Files:",
        "Manifest and audit trail:",
        "Check of a delivery:",
        "Service:",
        "Storage:",
        "Keys and certificates:",
    ]


def test_environment_of_the_test_run_is_not_read(tmp_path: Path) -> None:
    os.environ["THINGMINT_REGION"] = "moon"
    try:
        assert config(tmp_path).region == "us-east-1"
    finally:
        del os.environ["THINGMINT_REGION"]


def test_roles_are_a_table_of_texts_in_the_file(tmp_path: Path) -> None:
    given = config(tmp_path, toml='[roles]\n"arn:x" = "role.json"\n')
    assert given.roles == {"arn:x": "role.json"}
    assert config(tmp_path, toml="").roles == {}
    assert "roles" in refusal(tmp_path, {}, toml='[roles]\n"arn:x" = 7\n')


def test_hooks_are_a_table_of_texts_in_the_file(tmp_path: Path) -> None:
    given = config(tmp_path, toml='[hooks]\n"arn:x" = "https://hooks.example/"\n')
    assert given.hooks == {"arn:x": "https://hooks.example/"}
    assert "hooks.example" not in repr(given)
    assert "hooks" in refusal(tmp_path, {}, toml='[hooks]\n"arn:x" = 7\n')


def test_each_value_is_known_with_its_origin(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-some-length\n")
    given = config(
        tmp_path,
        toml='account = "111111111111"\n',
        flags={"region": "us-west-2", "insecure_http": True},
        THINGMINT_KEY_RESERVE="5",
        THINGMINT_ROOT_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        THINGMINT_ROOT_SECRET_ACCESS_KEY_FILE=str(secret),
    )
    origins = {name: origin for name, origin in given.origins.items() if origin.source is not Source.DEFAULT}
    assert origins == {
        "data_dir": Origin(Source.FLAG, "--data-dir"),
        "region": Origin(Source.FLAG, "--region"),
        "insecure_http": Origin(Source.FLAG, "--insecure-http"),
        "key_reserve": Origin(Source.ENVIRONMENT, "THINGMINT_KEY_RESERVE"),
        "root_access_key_id": Origin(Source.ENVIRONMENT, "THINGMINT_ROOT_ACCESS_KEY_ID"),
        "root_secret_access_key": Origin(Source.ENVIRONMENT, "THINGMINT_ROOT_SECRET_ACCESS_KEY_FILE"),
        "account": Origin(Source.FILE, str(tmp_path / "thingmint.toml")),
    }


@pytest.mark.parametrize("text", ["0", "0.05", "3600.1", "1e2", "nan", "inf", "-1", "", "٣", "1."])
def test_seconds_are_decimal_numbers_within_their_bounds(tmp_path: Path, text: str) -> None:
    expected = f"mqtt_connect_seconds must be a number from 0.1 to 3600, not {text!r}"
    assert refusal(tmp_path, {"THINGMINT_MQTT_CONNECT_SECONDS": text}) == expected


def test_seconds_may_have_a_fraction(tmp_path: Path) -> None:
    given = config(
        tmp_path, toml="mqtt_connect_seconds = 2.5\nmqtt_stuck_seconds = 7", THINGMINT_MQTT_CLOSE_SECONDS="0.5"
    )
    assert (given.mqtt_connect_seconds, given.mqtt_stuck_seconds, given.mqtt_close_seconds) == (2.5, 7, 0.5)


def test_a_broker_must_answer_before_the_time_of_the_device_ends(tmp_path: Path) -> None:
    short = {"THINGMINT_MQTT_CONNECT_SECONDS": "5"}
    assert config(tmp_path, THINGMINT_MQTT_CONNECT_SECONDS="5").mqtt_connect_seconds == 5
    message = refusal(tmp_path, short, toml='mqtt_data_plane = "unix:/run/broker"')
    assert message == "mqtt_broker_open_seconds (5) must be less than mqtt_connect_seconds (5)"


@pytest.mark.parametrize(("flags", "environment"), [({"data_dir": ""}, {}), ({}, {"THINGMINT_DATA_DIR": ""})])
def test_a_data_directory_without_a_name_is_refused(flags: dict[str, object], environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="data_dir must be a path"):
        load_config(flags, environment)


def test_numbers_of_thousands_of_digits_are_refused_by_name(tmp_path: Path) -> None:
    digits = "9" * 5000
    assert "max_requests must be a whole number" in refusal(tmp_path, {"THINGMINT_MAX_REQUESTS": digits})
    assert "api must be host:port" in refusal(tmp_path, {"THINGMINT_API": f"127.0.0.1:{digits}"})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h/x", True),
        ("postgresql://u@h/x?password=p", True),
        ("postgresql://u@h:5432/x", False),
        ("postgresql:///x?host=a", False),
        ("postgresql://u@[::1]:1/x", False),
    ],
)
def test_a_password_in_a_url_is_noticed(url: str, expected: bool) -> None:
    assert has_password(url) is expected


@pytest.mark.parametrize("name", [each.name for each in SETTINGS if Places.VARIABLE not in each.places])
def test_a_table_of_the_file_is_refused_in_the_environment(tmp_path: Path, name: str) -> None:
    variable = f"THINGMINT_{name.upper()}"
    for value in ("", "x", "{}", "a=b"):
        said = refusal(tmp_path, {variable: value})
        assert said == f"{variable}: {name} cannot be set in the environment, only in {tmp_path / 'thingmint.toml'}"
