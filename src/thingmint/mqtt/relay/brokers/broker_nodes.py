"""Owns the nodes of one account's broker: which of them answer, and the opening of connections to them.

If a node does not answer, the connection goes to another node. Knows nothing of the broker's features.
"""

import asyncio
import logging
import ssl
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from thingmint.core.error_text import in_words
from thingmint.core.identifiers import Scope
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DeviceConnection
from thingmint.mqtt.relay.abilities import BrokerAbilities
from thingmint.mqtt.relay.brokers.address import BrokerAddress
from thingmint.mqtt.relay.brokers.health import AddressHealth
from thingmint.mqtt.relay.brokers.spec import BrokerSpec
from thingmint.mqtt.relay.connections.input import SharedReading
from thingmint.mqtt.relay.connections.upstream import Upstream
from thingmint.mqtt.relay.credentials import SERVICE, Login, LoginUnusable
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.own_client import OwnClient
from thingmint.mqtt.relay.terms import KEEP_ALIVE_SECONDS, BrokerTerms

NONE_ANSWERS: Final = "none of its nodes answers"
_SILENT: Final = "it takes too long"
# Refusals by one node that other nodes of the cluster may not repeat.
_OF_ONE_NODE: Final = frozenset({ReasonCode.SERVER_UNAVAILABLE, ReasonCode.SERVER_BUSY})
_Attempt = Callable[[BrokerAddress], Awaitable[tuple[Upstream, BrokerTerms]]]

log = logging.getLogger(__name__)


class BrokerUnreachable(Exception):
    """No node of the broker answers; the message says why."""


class BrokerNodes:
    """The nodes of one broker, for the devices of one account and the service."""

    def __init__(
        self, spec: BrokerSpec, scope: Scope, limits: RelayLimits, reading: SharedReading, counters: Counters
    ) -> None:
        """Take the specification without connecting; raise OSError if the TLS files cannot be used."""
        self.spec = spec
        self.scope = scope
        self._limits = limits
        self._reading = reading
        self._counters = counters
        self._health = AddressHealth(spec.addresses, limits)
        self._context: ssl.SSLContext | None = None
        self._context_of: tuple[int, ...] = ()
        self._tls_context()

    @property
    def failed(self) -> tuple[BrokerAddress, ...]:
        """The nodes that were tried and do not answer."""
        return self._health.failed

    @property
    def all_failed(self) -> bool:
        """Whether no node is known to answer."""
        return len(self._health.failed) == len(self.spec.addresses)

    def candidates(self) -> tuple[BrokerAddress, ...]:
        """Return the nodes to try now, in this order."""
        return self._health.candidates(asyncio.get_running_loop().time())

    def due(self, now: float) -> tuple[BrokerAddress, ...]:
        """Return the failed nodes whose retry is due."""
        return self._health.due(now)

    def login(self, certificate_id: str, client_id: str) -> Login:
        """Return the login of a connection; raise PacketRefused if there is none."""
        try:
            return self.spec.credentials.login(certificate_id, client_id, self.scope.account)
        except LoginUnusable as error:
            log.warning("a device cannot log in at the broker %s: %s", self.spec, in_words(error))
            raise PacketRefused(ReasonCode.NOT_AUTHORIZED, "The broker cannot be logged in to") from error

    async def first_that_answers(self, attempt: _Attempt) -> tuple[Upstream, BrokerTerms]:
        """Return the result of the attempt at the first node that answers; raise PacketRefused or BrokerUnreachable."""
        candidates, reason = self.candidates(), NONE_ANSWERS
        deadline = asyncio.get_running_loop().time() + self._limits.open_seconds
        for place, address in enumerate(candidates):
            left = deadline - asyncio.get_running_loop().time()
            try:
                # Part of the time is reserved for the following nodes.
                async with asyncio.timeout(max(left, 0.0) / (len(candidates) - place)):
                    return await attempt(address)
            except PacketRefused as refused:
                if refused.reason_code not in _OF_ONE_NODE or address == candidates[-1]:
                    raise
            except (OSError, TimeoutError) as error:
                reason = in_words(error)
                self.has_failed(address, reason)
        raise BrokerUnreachable(reason)

    async def open_at(
        self, address: BrokerAddress, connection: DeviceConnection, connect: Connect, abilities: BrokerAbilities
    ) -> tuple[Upstream, BrokerTerms]:
        """Return a connection to the node and its terms; raise PacketRefused or OSError."""
        # The counters are about devices. The service's own messages and connections are not in them.
        counters = Counters() if isinstance(connection, OwnClient) else self._counters
        upstream = await address.connect(
            lambda: Upstream(
                connection, self._limits, self._reading, counters, lambda: self.has_failed(address, _SILENT)
            ),
            self._tls_context(),
            self.spec.server_name,
        )
        try:
            terms = await upstream.open(connect, abilities)
        except BaseException:
            upstream.abort()
            raise
        self.has_answered(address)
        return upstream, terms

    async def open_own_at(
        self, address: BrokerAddress, client: OwnClient, abilities: BrokerAbilities
    ) -> tuple[Upstream, BrokerTerms]:
        """Return a connection of the service itself to the node, and its terms; raise PacketRefused or OSError."""
        return await self.open_at(address, client, self._own_connect(client, abilities.version), abilities)

    async def open_own(self, client: OwnClient, abilities: BrokerAbilities) -> Upstream:
        """Return a connection of the service itself; raise PacketRefused or BrokerUnreachable."""
        upstream, _ = await self.first_that_answers(lambda address: self.open_own_at(address, client, abilities))
        return upstream

    def has_failed(self, address: BrokerAddress, reason: str) -> None:
        """Record that a node does not answer."""
        if self._health.failed_at(address, asyncio.get_running_loop().time()):
            log.warning("the broker at %s does not answer: %s", address, reason)

    def has_answered(self, address: BrokerAddress) -> None:
        """Record that a node answers."""
        if self._health.answered(address):
            log.info("the broker at %s answers again", address)

    def _own_connect(self, client: OwnClient, version: ProtocolVersion) -> Connect:
        login = self.login(SERVICE, SERVICE)
        return Connect(
            version,
            client.client_id,
            keep_alive=KEEP_ALIVE_SECONDS,
            username=login.username,
            password=login.password,
        )

    def _tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS context, which is made again when one of its files has changed."""
        if not any(getattr(each, "has_tls", False) for each in self.spec.addresses):
            return None
        changed = tuple(each.stat().st_mtime_ns for each in self.spec.files)
        if self._context is None or changed != self._context_of:
            self._context, self._context_of = self.spec.tls_context(), changed
        return self._context


def new_own_id() -> str:
    """Return a client id for the service. Devices cannot have it: only assigned client ids start with ``$``."""
    return f"$thingmint-{uuid.uuid4()}"
