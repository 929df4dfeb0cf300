"""`thingmint settings`: what is in force, where it comes from, and nothing secret."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from thingmint.cli.commands import main
from thingmint.settings.table import SETTINGS

SECRETS = {
    "THINGMINT_ROOT_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "THINGMINT_ROOT_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
    "THINGMINT_DATABASE_URL": "postgresql://u:pa55word@db:5432/registry?password=pa55word",
}


def shown(tmp_path: Path, *arguments: str, toml: str = "", env: dict[str, str] | None = None) -> tuple[str, str]:
    """Return what the command prints on standard output and standard error."""
    (tmp_path / "thingmint.toml").write_text(toml)
    result = CliRunner().invoke(main, ["settings", "--data-dir", str(tmp_path), *arguments], env=env)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def in_force(tmp_path: Path, *arguments: str, toml: str = "", env: dict[str, str] | None = None) -> dict[str, object]:
    """Return value, source and place of each setting."""
    rows = json.loads(shown(tmp_path, "--json", *arguments, toml=toml, env=env)[0])
    return {row["name"]: (row["value"], row["source"], row["place"]) for row in rows}


def test_every_setting_is_shown_with_its_value_and_its_origin(tmp_path: Path) -> None:
    toml = "key_reserve = 3\n[quota]\nCreateKeysAndCertificate = 25\n[profile]\nvalidity_days = 30\n"
    found = in_force(tmp_path, "--region", "us-west-2", toml=toml, env={"THINGMINT_MQTT": "127.0.0.1:0"})
    file = str(tmp_path / "thingmint.toml")
    assert list(found) == [setting.name for setting in SETTINGS]
    assert found["region"] == ("us-west-2", "flag", "--region")
    assert found["mqtt"] == ("127.0.0.1:0", "environment", "THINGMINT_MQTT")
    assert found["key_reserve"] == (3, "file", file)
    assert found["quota"] == ({"CreateKeysAndCertificate": 25.0}, "file", file)
    assert found["profile"] == ({"validity_days": 30}, "file", file)
    assert found["server_name"] == (["localhost", "127.0.0.1"], "default", None)
    assert found["mqtt_alpn"] == (None, "default", None)


def test_given_settings_are_shown_alone(tmp_path: Path) -> None:
    output, _ = shown(tmp_path, "--given", "--insecure-http", toml="mqtt_connect_seconds = 2.5")
    lines = [line.split() for line in output.splitlines()]
    assert lines[0] == ["setting", "value", "from"]
    assert ["insecure_http", "on", "flag", "--insecure-http"] in lines
    assert ["mqtt_connect_seconds", "2.5", "file", str(tmp_path / "thingmint.toml")] in lines
    assert {line[0] for line in lines} == {
        "setting",
        "Service:",
        "data_dir",
        "API:",
        "insecure_http",
        "Device",
        "mqtt_connect_seconds",
    }


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    toml = '[hooks]\n"arn:x" = "https://hooks.example/?token=pa55word"\n[roles]\n"arn:y" = "secret-role.json"\n'
    for arguments in ([], ["--json"]):
        output, _ = shown(tmp_path, *arguments, toml=toml, env=SECRETS)
        for secret in ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", "pa55word", "hooks.example", "secret-role"):
            assert secret not in output
        assert "postgresql://u:***@db:5432/registry?…" in output
        assert "arn:x" in output
    found = in_force(tmp_path, toml=toml, env=SECRETS)
    assert found["root_secret_access_key"] == ("(hidden)", "environment", "THINGMINT_ROOT_SECRET_ACCESS_KEY")
    assert found["hooks"] == ({"arn:x": "(hidden)"}, "file", str(tmp_path / "thingmint.toml"))


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://db/x", "postgresql://db/x"),
        ("postgresql://u@db/x", "postgresql://u@db/x"),
        ("postgresql://u:p@a:1,b:2/x", "postgresql://u:***@a:1,b:2/x"),
        ("postgresql://u:p?@q@db/x?password=z", "postgresql://u:***@db/x?…"),
        ("postgresql:///x?user=u&p%61ssword=z", "postgresql:///x?…"),
    ],
)
def test_passwords_of_urls_are_masked_wherever_they_are(tmp_path: Path, url: str, masked: str) -> None:
    assert in_force(tmp_path, env={"THINGMINT_DATABASE_URL": url})["database_url"] == (
        masked,
        "environment",
        "THINGMINT_DATABASE_URL",
    )


def test_a_variable_that_is_no_setting_is_told_with_the_most_similar_one(tmp_path: Path) -> None:
    _, warnings = shown(tmp_path, env={"THINGMINT_KEY_RESERVES": "1", "THINGMINT_ROOT_ACCESS_KEY_ID_FIL": "/x"})
    assert "THINGMINT_KEY_RESERVES is the variable of no setting; did you mean THINGMINT_KEY_RESERVE?" in warnings
    assert "did you mean THINGMINT_ROOT_ACCESS_KEY_ID_FILE?" in warnings


def test_a_setting_that_cannot_be_used_ends_the_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["settings", "--data-dir", str(tmp_path), "--key-reserve", "many"])
    assert result.exit_code == 1
    assert result.stderr == "thingmint: key_reserve must be a whole number from 0 to 100000, not 'many'\n"
