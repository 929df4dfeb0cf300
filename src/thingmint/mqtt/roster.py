"""Owns the lists of open connections, by certificate and by client; does nothing to them."""

from collections import Counter
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from thingmint.core.identifiers import CertificateId


class Listed(Protocol):
    """What the roster sorts by."""

    @property
    def certificate_id(self) -> CertificateId:
        """The certificate that the peer showed."""
        ...

    @property
    def client_id(self) -> str:
        """The client id; settled when the connection is accepted."""
        ...


T = TypeVar("T", bound=Listed)


class Roster(Generic[T]):
    """Connections from their handshake on by certificate, and from their CONNECT on by client id."""

    def __init__(self) -> None:
        self._by_certificate: dict[CertificateId, set[T]] = {}
        self._by_client: dict[str, T] = {}
        self._accepted: set[T] = set()
        self._listening: dict[T, None] = {}
        self._accepted_of: Counter[CertificateId] = Counter()

    @property
    def accepted(self) -> frozenset[T]:
        """Those whose CONNECT was accepted, as of now."""
        return frozenset(self._accepted)

    @property
    def listening(self) -> tuple[T, ...]:
        """Those that may have subscribed to what the service tells, as of now."""
        return tuple(self._listening)

    def listens(self, connection: T, *, does: bool) -> None:
        """Note whether the connection may have subscribed to what the service tells."""
        if does:
            self._listening[connection] = None
        else:
            self._listening.pop(connection, None)

    def arrived(self, connection: T) -> None:
        """List a connection whose handshake is done: before anybody asks who it is, so that no change is missed."""
        self._by_certificate.setdefault(connection.certificate_id, set()).add(connection)

    def was_accepted(self, connection: T) -> None:
        """List the connection as its client's."""
        self._by_client[connection.client_id] = connection
        self._accepted.add(connection)
        self._accepted_of[connection.certificate_id] += 1

    def left(self, connection: T) -> None:
        """Forget a connection, which may be forgotten already."""
        self._listening.pop(connection, None)
        if connection in self._accepted:
            self._accepted.remove(connection)
            self._accepted_of[connection.certificate_id] -= 1
            if not self._accepted_of[connection.certificate_id]:
                del self._accepted_of[connection.certificate_id]
        if self._by_client.get(connection.client_id) is connection:
            del self._by_client[connection.client_id]
        of_certificate = self._by_certificate.get(connection.certificate_id, set())
        of_certificate.discard(connection)
        if not of_certificate:
            self._by_certificate.pop(connection.certificate_id, None)

    def accepted_of(self, certificate_id: CertificateId) -> int:
        """Return how many connections of a certificate were accepted."""
        return self._accepted_of[certificate_id]

    def of_certificate(self, certificate_id: CertificateId) -> tuple[T, ...]:
        """Return the connections of a certificate, accepted or not."""
        return tuple(self._by_certificate.get(certificate_id, ()))

    def of_client(self, client_id: str) -> T | None:
        """Return the accepted connection of a client, or None."""
        return self._by_client.get(client_id)

    def all_of(self, certificate_ids: Iterable[CertificateId] | None) -> tuple[T, ...]:
        """Return the connections of these certificates, or of all, accepted or not."""
        chosen = self._by_certificate if certificate_ids is None else certificate_ids
        return tuple(each for certificate_id in chosen for each in self.of_certificate(certificate_id))
