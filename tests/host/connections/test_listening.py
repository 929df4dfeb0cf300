import errno
import logging
import resource
import socket

import pytest

from thingmint.host.connections.listening import Demand, TurnedAway, descriptors_for_connections, listen, shares


def test_an_address_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use") as refused:
            listen([(socket.AF_INET, ("127.0.0.1", port))])
    assert refused.value.errno == errno.EADDRINUSE


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_an_ipv6_address_that_is_taken_is_named_in_brackets() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on \[::1\]:{port}: Address already in use"):
            listen([(socket.AF_INET6, ("::1", port, 0, 0))])


@pytest.mark.parametrize(
    ("soft_limit", "expected"),
    [(65_536, 65_280), (1024, 768), (100, 50), (resource.RLIM_INFINITY, 2**31)],
)
def test_some_descriptors_are_kept_from_connections(
    monkeypatch: pytest.MonkeyPatch, soft_limit: int, expected: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft_limit, soft_limit))
    assert descriptors_for_connections() == expected


def test_listeners_have_what_they_ask_for_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (65_536, 65_536))
    assert shares([Demand(2048), Demand(10_000, descriptors_each=2)]) == (2048, 10_000)


@pytest.mark.parametrize("soft_limit", [8, 100, 1024, 4096, 20_000])
@pytest.mark.parametrize("descriptors_each", [1, 2])
def test_listeners_together_leave_descriptors_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, soft_limit: int, descriptors_each: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft_limit, soft_limit))
    operators, devices = shares([Demand(2048), Demand(10_000, descriptors_each)])
    assert operators >= 1
    assert devices >= 1
    assert operators + devices * descriptors_each <= descriptors_for_connections()
    if soft_limit > 100:
        # In proportion: neither listener starves the other.
        assert devices / operators == pytest.approx(10_000 / 2048, rel=0.05)


def test_who_is_turned_away_is_counted_and_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    turned_away = TurnedAway(logging.getLogger("floods"), "device", monotonic=lambda: now[0])
    turned_away.add()
    for _ in range(500):
        now[0] += 0.1
        turned_away.add()
    now[0] = 160.0
    turned_away.add()
    assert [record.getMessage() for record in caplog.records] == [
        "device connections were turned away for lack of room: 1",
        "device connections were turned away for lack of room: 501",
    ]
