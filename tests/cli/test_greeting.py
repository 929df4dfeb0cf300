"""The first words of a service tell everything that a stranger needs next, and its last words why it did not start."""

import errno
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from thingmint.cli.serve import greeting
from thingmint.core.error_text import in_words
from thingmint.data_directory.handover import Endpoints
from thingmint.settings.config import Config, StartRefused, load_config

ENDPOINTS = Endpoints(
    "https://127.0.0.1:8443", 8443, "127.0.0.1:45678", 45678, "/a/ca.pem", "000000000000", "us-east-1", 1
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config({"data_dir": str(tmp_path / "a b")}, {})


def test_it_says_where_devices_connect_since_that_may_not_be_the_usual_port(config: Config) -> None:
    assert "  devices       127.0.0.1:45678 (MQTT, mutual TLS)" in greeting(config, ENDPOINTS)
    both = msgspec.structs.replace(ENDPOINTS, mqtt_alpn="0.0.0.0:443", mqtt_alpn_port=443)
    assert "  devices       127.0.0.1:45678 and 0.0.0.0:443 (MQTT, mutual TLS)" in greeting(config, both)


def test_what_it_says_to_type_names_a_directory_that_is_not_the_usual_one(config: Config, tmp_path: Path) -> None:
    option = f"--data-dir '{tmp_path / 'a b'}'"
    assert [line for line in greeting(config, ENDPOINTS) if "eval" in line or "issue" in line] != []
    assert all(option in line for line in greeting(config, ENDPOINTS) if "eval" in line or "issue" in line)
    usual = greeting(replace(config, data_dir=Path("thingmint-data")), ENDPOINTS)
    assert not any("--data-dir" in line for line in usual)


def test_it_names_the_console_and_the_access_key_for_it(config: Config) -> None:
    config.data_dir.mkdir()
    assert not any("sign in" in line for line in greeting(config, ENDPOINTS))
    (config.data_dir / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    told = greeting(config, ENDPOINTS)
    assert "  console       https://127.0.0.1:8443/console" in told
    assert f"In the console, sign in with the access key in {config.data_dir / 'credentials'}" in told
    without = greeting(replace(config, console=False), ENDPOINTS)
    assert not any("  console " in line or "sign in" in line for line in without)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EADDRINUSE, "cannot listen on 127.0.0.1:8443: Address already in use"), None),
        (OSError(errno.ENOENT, "No such file or directory", "/a/keys"), "/a/keys: No such file or directory"),
        (OSError("the host has no address"), "the host has no address"),
        (StartRefused("the directory is another service's"), "the directory is another service's"),
    ],
)
def test_its_last_words_are_words(error: Exception, words: str | None) -> None:
    assert in_words(error) == (words or "cannot listen on 127.0.0.1:8443: Address already in use")
