"""Owns the indexes of open connections by principal, by account and by client. Does not change connections."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from thingmint.core.identifiers import PrincipalId, Scope
from thingmint.core.principals import PrincipalTarget


class IndexedConnection(Protocol):
    """The facts of a connection by which it is indexed."""

    @property
    def scope(self) -> Scope | None:
        """The account and region of the device; None until it is identified, and unchanged afterwards."""
        ...

    @property
    def principal_id(self) -> PrincipalId:
        """The id of the peer's certificate or access key."""
        ...

    @property
    def client_id(self) -> str:
        """The client id, which is final when the connection is accepted."""
        ...


T = TypeVar("T", bound=IndexedConnection)


class ConnectionIndex(Generic[T]):
    """Connections from their handshake on by principal, and from their CONNECT on by account and client id."""

    def __init__(self) -> None:
        # Most principals have one connection, and a set for it would take more memory than all indexes together.
        self._first_of: dict[PrincipalId, T] = {}
        self._others_of: dict[PrincipalId, set[T]] = {}
        self._by_client: dict[Scope | None, dict[str, T]] = {}
        self._accepted: set[T] = set()
        self._accepted_of: Counter[PrincipalId] = Counter()

    @property
    def accepted(self) -> frozenset[T]:
        """The connections whose CONNECT was accepted, as a copy."""
        return frozenset(self._accepted)

    @property
    def all_accepted(self) -> Collection[T]:
        """The connections whose CONNECT was accepted, without a copy: they change while connections come and go."""
        return self._accepted

    @property
    def accepted_count(self) -> int:
        """How many connections were accepted."""
        return len(self._accepted)

    def arrived(self, connection: T) -> None:
        """Add a connection after its handshake, before the device is identified, so that no change is missed."""
        if self._first_of.setdefault(connection.principal_id, connection) is not connection:
            self._others_of.setdefault(connection.principal_id, set()).add(connection)

    def was_accepted(self, connection: T) -> None:
        """Index the connection by account and client id."""
        self._by_client.setdefault(connection.scope, {})[connection.client_id] = connection
        self._accepted.add(connection)
        self._accepted_of[connection.principal_id] += 1

    def left(self, connection: T) -> None:
        """Remove a connection, if it is in the indexes."""
        if connection in self._accepted:
            self._accepted.remove(connection)
            self._accepted_of[connection.principal_id] -= 1
            if not self._accepted_of[connection.principal_id]:
                del self._accepted_of[connection.principal_id]
        clients = self._by_client.get(connection.scope, {})
        if clients.get(connection.client_id) is connection:
            del clients[connection.client_id]
            if not clients:
                del self._by_client[connection.scope]
        self._left_principal(connection)

    def accepted_of(self, principal_id: PrincipalId) -> int:
        """Return how many accepted connections a principal has."""
        return self._accepted_of[principal_id]

    def has_room_for(self, scope: Scope, client_id: str, principal_id: PrincipalId, limit: int) -> bool:
        """Return whether a principal may have another connection; a reconnecting client replaces its own one."""
        earlier = self.of_client(scope, client_id)
        takes_over = earlier is not None and earlier.principal_id == principal_id
        return takes_over or self.accepted_of(principal_id) < limit

    def of_principal(self, principal_id: PrincipalId) -> tuple[T, ...]:
        """Return the connections of a principal, accepted or not."""
        first = self._first_of.get(principal_id)
        return () if first is None else (first, *self._others_of.get(principal_id, ()))

    def of_target(self, target: PrincipalTarget) -> tuple[T, ...]:
        """Return the connections of an account's principal, including those whose account is not known yet."""
        return tuple(each for each in self.of_principal(target.principal_id) if each.scope in (None, target.scope))

    def of_client(self, scope: Scope, client_id: str) -> T | None:
        """Return the accepted connection of an account's client, or None."""
        return self._by_client.get(scope, {}).get(client_id)

    def of_account(self, scope: Scope) -> Mapping[str, T]:
        """Return the accepted connections of an account by client id; the mapping reflects later changes."""
        return self._by_client.get(scope, {})

    def all_of(self, targets: Iterable[PrincipalTarget] | None) -> tuple[T, ...]:
        """Return the connections of these accounts' principals, or of all, accepted or not."""
        if targets is None:
            others = (each for connections in self._others_of.values() for each in connections)
            return (*self._first_of.values(), *others)
        return tuple(each for target in targets for each in self.of_target(target))

    def _left_principal(self, connection: T) -> None:
        principal_id = connection.principal_id
        others = self._others_of.get(principal_id)
        if self._first_of.get(principal_id) is not connection:
            if others is not None:
                others.discard(connection)
        elif others:
            self._first_of[principal_id] = others.pop()
        else:
            del self._first_of[principal_id]
        if others is not None and not others:
            del self._others_of[principal_id]
