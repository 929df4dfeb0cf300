"""What a log line in JSON contains, and what it never contains."""

import json
import sys
from datetime import UTC, datetime

import pytest
import structlog

from thingmint.host.json_lines import JSONLines, encode, mask_secrets

KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----"


def line_of(level: str, /, **event: object) -> str:
    return JSONLines({"node": "one"})(level, event)


def test_a_line_has_its_fields_the_facts_the_level_and_the_time() -> None:
    before = datetime.now(UTC)
    members = json.loads(line_of("warning", event="request", status=200, error=None))
    assert before <= datetime.fromisoformat(members.pop("timestamp")) <= datetime.now(UTC)
    assert members == {"event": "request", "status": 200, "error": None, "node": "one", "level": "warning"}


@pytest.mark.parametrize(
    "event",
    [
        {"event": "request", "seconds": 0.25, "principal": "arn:aws:iam::000000000000:user/ada", "cause": None},
        {"event": "Zähler", "detail": "温\x7f\u202e\x00"},
        {"event": "x", "session_token": "abc", "note": KEY},
        {"event": "x", "of": {"nested": [1, KeyError("k")]}},
    ],
    ids=["plain", "controls", "secrets", "objects"],
)
def test_a_line_is_what_a_chain_of_processors_writes(event: dict[str, object]) -> None:
    chain = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        mask_secrets,
        structlog.processors.JSONRenderer(encode),
    ]
    expected: object = {**event, "node": "one"}
    for processor in chain:
        expected = processor(None, "info", expected)  # type: ignore[operator]  # each one takes what the last returned
    made = json.loads(line_of("info", **event))
    del made["timestamp"]
    assert made == json.loads(str(expected))


def test_secrets_and_private_keys_are_masked() -> None:
    line = line_of("info", event="x", session_token="abc", Authorization="def", text=f"a {KEY}", principal="ada")
    assert all(secret not in line for secret in ("abc", "def", "MC4CAQ"))
    assert line.count("[masked]") == 3
    assert '"principal":"ada"' in line


def test_a_line_has_no_characters_that_a_terminal_obeys() -> None:
    line = line_of("info", event="x", topic="a\nb\x7f\x9b\u202ec", accent="é")
    assert line.isprintable()
    assert json.loads(line)["topic"] == "a\nb\x7f\x9b\u202ec"
    assert "é" in line


def test_an_exception_is_written_with_its_traceback() -> None:
    try:
        json.loads("{}")["gone"]
    except KeyError:
        members = json.loads(line_of("error", event="x", exc_info=sys.exc_info()))
    assert members["exception"].endswith("KeyError: 'gone'")
    assert "exc_info" not in members
