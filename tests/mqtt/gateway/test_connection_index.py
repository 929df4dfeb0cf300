"""The indexes of open connections, which most often have one connection for each certificate."""

from dataclasses import dataclass

from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.core.policies.target import CertificateTarget
from thingmint.mqtt.gateway.connection_index import ConnectionIndex

SCOPE = Scope(AccountId("111122223333"), Region("eu-central-1"))
SHARED, OWN = CertificateId("a" * 64), CertificateId("b" * 64)


@dataclass(eq=False)
class Connection:
    """The facts of a connection."""

    client_id: str
    principal_id: CertificateId = SHARED
    scope: Scope | None = SCOPE


def index_of(*connections: Connection) -> ConnectionIndex[Connection]:
    index: ConnectionIndex[Connection] = ConnectionIndex()
    for each in connections:
        index.arrived(each)
    return index


def test_each_connection_of_a_certificate_is_found_until_it_leaves() -> None:
    first, second, third, other = (Connection(name) for name in ("one", "two", "three", "other"))
    other.principal_id = OWN
    index = index_of(first, second, third, other)
    assert set(index.of_principal(SHARED)) == {first, second, third}
    assert set(index.all_of(None)) == {first, second, third, other}
    index.left(first)
    assert set(index.of_principal(SHARED)) == {second, third}
    index.left(third)
    assert set(index.of_target(CertificateTarget(SCOPE, SHARED))) == {second}
    index.left(second)
    assert index.of_principal(SHARED) == ()
    assert index.of_principal(OWN) == (other,)
    index.left(other)
    assert index.all_of(None) == ()


def test_a_connection_that_arrives_or_leaves_twice_is_counted_once() -> None:
    first, second = Connection("one"), Connection("two")
    index = index_of(first, first, second, second)
    assert set(index.of_principal(SHARED)) == {first, second}
    assert len(index.of_principal(SHARED)) == 2
    for _ in range(2):
        index.left(second)
    assert index.of_principal(SHARED) == (first,)
    for _ in range(2):
        index.left(first)
    assert index.all_of(None) == ()
