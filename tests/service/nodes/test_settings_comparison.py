"""Settings that must be the same on all nodes are compared by name; tables, which may hold secrets, as digests."""

from pathlib import Path

import pytest
from tests.support.databases.stores import CREATED_AT

from thingmint.records.nodes.nodes import NodeRow
from thingmint.service.nodes.settings_comparison import comparable_settings, differences
from thingmint.settings.config import load_config

URL = "https://hooks.example.com/secret-path"


def told(folder: Path, **flags: object) -> str:
    return comparable_settings(load_config({"data_dir": str(folder), **flags}, {}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", "111111111111"),
        ("region", "eu-central-1"),
        ("profile", {"validity": "1y"}),
        ("hooks", {"arn:aws:lambda:us-east-1:000000000000:function:hook": URL}),
        ("registration_dir", "/elsewhere"),
        ("mqtt_data_plane", "tcp:127.0.0.1:1883"),
        ("key_reserve", None),
    ],
)
def test_each_of_these_settings_is_compared(tmp_path: Path, name: str, value: object) -> None:
    ours = told(tmp_path)
    # What nodes may have differently is not told.
    given = {"key_reserve": "7"} if value is None else {name: value}
    theirs = told(tmp_path, **given)
    node = NodeRow("id", "other", "1", "local", theirs, CREATED_AT, CREATED_AT)
    assert list(differences(ours, node)) == ([] if value is None else [name])
    assert URL not in theirs
