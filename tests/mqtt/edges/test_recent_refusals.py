"""The last refusals of each account are remembered, and a bounded number of them."""

from datetime import UTC, datetime

import pytest

from thingmint.api.devices.live_devices import ConnectionFilter
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.mqtt.edges.recent_refusals import MOST_ACCOUNTS, MOST_OF_AN_ACCOUNT, RecentRefusals
from thingmint.mqtt.events import ActionRefused, ConnectRefused, Link, Refused

REGION = Region("eu-central-1")
OWN, OTHER = Scope(AccountId("123456789012"), REGION), Scope(AccountId("210987654321"), REGION)
CERTIFICATE = CertificateId("a" * 64)
AT = datetime(2026, 1, 1, tzinfo=UTC)
ALL = ConnectionFilter()


def action(scope: Scope = OWN, client_id: str = "sensor-17", resource: str = "topic/a") -> ActionRefused:
    link = Link(client_id, CERTIFICATE, "session", "192.0.2.7", scope)
    return ActionRefused(link, AT, Refused("iot:Publish", "IMPLICIT_DENY", resource, detail="d"))


def connect(scope: Scope | None = OWN, refused: Refused | None = None) -> ConnectRefused:
    return ConnectRefused(CERTIFICATE, "192.0.2.7", AT, "why", "sensor-17", scope, refused)


@pytest.fixture
def refusals() -> RecentRefusals:
    return RecentRefusals(OWN)


def test_the_newest_comes_first(refusals: RecentRefusals) -> None:
    refusals.connect_refused(connect())
    refusals.action_refused(action())
    found = refusals.newest(OWN, ALL, 10)
    assert [(each.action, each.reason, each.detail) for each in found] == [
        ("iot:Publish", "IMPLICIT_DENY", "d"),
        ("iot:Connect", "IMPLICIT_DENY", "why"),
    ]
    assert len(refusals.newest(OWN, ALL, 1)) == 1


def test_a_reason_that_is_known_is_kept(refusals: RecentRefusals) -> None:
    refusals.connect_refused(connect(refused=Refused("RegisterThing", "InvalidRequest", policy="p")))
    (found,) = refusals.newest(OWN, ALL, 10)
    assert (found.action, found.policy, found.detail) == ("RegisterThing", "p", None)


def test_each_account_has_its_own(refusals: RecentRefusals) -> None:
    refusals.action_refused(action(OTHER))
    assert refusals.newest(OWN, ALL, 10) == ()
    assert len(refusals.newest(OTHER, ALL, 10)) == 1


def test_a_device_of_no_known_account_is_shown_to_the_service_itself(refusals: RecentRefusals) -> None:
    refusals.connect_refused(connect(None))
    assert len(refusals.newest(OWN, ALL, 10)) == 1


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (ConnectionFilter("sensor-"), 1),
        (ConnectionFilter("other"), 0),
        (ConnectionFilter("", CERTIFICATE), 1),
        (ConnectionFilter("", "b" * 64), 0),
    ],
)
def test_refusals_are_filtered(refusals: RecentRefusals, wanted: ConnectionFilter, count: int) -> None:
    refusals.action_refused(action())
    assert len(refusals.newest(OWN, wanted, 10)) == count


def test_memory_is_bounded(refusals: RecentRefusals) -> None:
    for _ in range(MOST_OF_AN_ACCOUNT + 5):
        refusals.action_refused(action(client_id="c" * 5000, resource="r" * 5000))
    found = refusals.newest(OWN, ALL, 10_000)
    assert len(found) == MOST_OF_AN_ACCOUNT
    assert len(found[0].client_id) == len(found[0].resource) == 513
    for number in range(MOST_ACCOUNTS):
        refusals.action_refused(action(Scope(AccountId(f"{number:012}"), REGION)))
    assert refusals.newest(OWN, ALL, 10) == ()
