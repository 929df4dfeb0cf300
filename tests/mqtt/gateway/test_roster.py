"""The indexes of open connections, which most often have one connection for each certificate."""

from dataclasses import dataclass

from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.core.policies.target import CertificateTarget
from thingmint.mqtt.gateway.roster import Roster

SCOPE = Scope(AccountId("111122223333"), Region("eu-central-1"))
SHARED, OWN = CertificateId("a" * 64), CertificateId("b" * 64)


@dataclass(eq=False)
class Connection:
    """The facts of a connection."""

    client_id: str
    certificate_id: CertificateId = SHARED
    scope: Scope | None = SCOPE


def roster_of(*connections: Connection) -> Roster[Connection]:
    roster: Roster[Connection] = Roster()
    for each in connections:
        roster.arrived(each)
    return roster


def test_each_connection_of_a_certificate_is_found_until_it_leaves() -> None:
    first, second, third, other = (Connection(name) for name in ("one", "two", "three", "other"))
    other.certificate_id = OWN
    roster = roster_of(first, second, third, other)
    assert set(roster.of_certificate(SHARED)) == {first, second, third}
    assert set(roster.all_of(None)) == {first, second, third, other}
    roster.left(first)
    assert set(roster.of_certificate(SHARED)) == {second, third}
    roster.left(third)
    assert set(roster.of_target(CertificateTarget(SCOPE, SHARED))) == {second}
    roster.left(second)
    assert roster.of_certificate(SHARED) == ()
    assert roster.of_certificate(OWN) == (other,)
    roster.left(other)
    assert roster.all_of(None) == ()


def test_a_connection_that_arrives_or_leaves_twice_is_counted_once() -> None:
    first, second = Connection("one"), Connection("two")
    roster = roster_of(first, first, second, second)
    assert set(roster.of_certificate(SHARED)) == {first, second}
    assert len(roster.of_certificate(SHARED)) == 2
    for _ in range(2):
        roster.left(second)
    assert roster.of_certificate(SHARED) == (first,)
    for _ in range(2):
        roster.left(first)
    assert roster.all_of(None) == ()
