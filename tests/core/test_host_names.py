"""Host names as text: which of them a certificate can hold, and which only this machine can reach."""

import pytest

from thingmint.core.host_names import is_concrete, is_loopback, is_server_name


@pytest.mark.parametrize(
    ("host", "concrete", "server_name", "loopback"),
    [
        ("devices.example.com", True, True, False),
        ("*.example.com", True, True, False),
        ("localhost", True, True, True),
        ("127.0.0.1", True, True, True),
        ("::1", True, True, True),
        ("192.0.2.1", True, True, False),
        ("0.0.0.0", False, True, False),
        ("::", False, True, False),
        ("fe80::1%eth0", False, True, False),
        ("not a name", False, False, False),
        ("a" * 64 + ".example", False, False, False),
    ],
)
def test_host_is_judged_by_its_text(host: str, concrete: bool, server_name: bool, loopback: bool) -> None:
    assert (is_concrete(host), is_server_name(host), is_loopback(host)) == (concrete, server_name, loopback)
