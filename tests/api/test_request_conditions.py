"""The condition keys that a request to the API has by itself."""

from datetime import UTC, datetime

import pytest

from thingmint.api.wire.request_conditions import request_conditions

NOW = datetime(2026, 1, 2, 3, 4, 5, 999999, tzinfo=UTC)


def test_every_request_has_the_time_and_its_transport() -> None:
    assert request_conditions("https", [], NOW) == {
        "aws:SecureTransport": ("true",),
        "aws:CurrentTime": ("2026-01-02T03:04:05Z",),
        "aws:EpochTime": ("1767323045",),
    }
    assert request_conditions("http", [], NOW)["aws:SecureTransport"] == ("false",)


@pytest.mark.parametrize(("header", "key"), [(b"user-agent", "aws:UserAgent"), (b"referer", "aws:Referer")])
def test_a_header_is_a_key_with_all_that_it_says(header: bytes, key: str) -> None:
    assert request_conditions("https", [(header, b"a/1"), (b"x", b"y")], NOW)[key] == ("a/1",)
    assert request_conditions("https", [(header, b"a"), (header, b"\xe4")], NOW)[key] == ("a, ä",)
    assert request_conditions("https", [(header, b"")], NOW)[key] == ("",)
