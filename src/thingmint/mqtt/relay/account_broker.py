"""Owns the broker of one account: its nodes, which of them answer, its version and its features.

It opens devices' connections. If a node of the broker does not answer, the connection goes to another node.
"""

import asyncio
import logging
import math
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from thingmint.core.identifiers import Scope
from thingmint.host.words import in_words
from thingmint.mqtt.broker.session import will_message
from thingmint.mqtt.codec.packets import Connect, Disconnect, ProtocolVersion
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DeviceConnection
from thingmint.mqtt.relay import older
from thingmint.mqtt.relay.abilities import BrokerAbilities
from thingmint.mqtt.relay.address import BrokerAddress
from thingmint.mqtt.relay.credentials import SERVICE, Login, LoginUnusable
from thingmint.mqtt.relay.health import AddressHealth
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.own_client import OwnClient
from thingmint.mqtt.relay.probe import probed
from thingmint.mqtt.relay.spec import BrokerSpec
from thingmint.mqtt.relay.terms import KEEP_ALIVE_SECONDS, BrokerTerms
from thingmint.mqtt.relay.upstream import Upstream

_SILENT: Final = "it takes too long"
_VERSIONS: Final = (ProtocolVersion.MQTT_5, ProtocolVersion.MQTT_3_1_1)
# Answers to the service's own CONNECT which show that the broker is available and has this version.
_REFUSED_AS_A_USER: Final = frozenset({ReasonCode.NOT_AUTHORIZED, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID})
# Refusals by one node that other nodes of the cluster may not repeat.
_OF_ONE_NODE: Final = frozenset({ReasonCode.SERVER_UNAVAILABLE, ReasonCode.SERVER_BUSY})
_Attempt = Callable[[BrokerAddress], Awaitable[tuple[Upstream, BrokerTerms]]]

log = logging.getLogger(__name__)


class BrokerAway(Exception):
    """No node of the broker answers; the message says why."""


class AccountBroker:
    """One broker, for the devices of one account and the service."""

    def __init__(
        self, spec: BrokerSpec, scope: Scope, limits: RelayLimits, read_buffer: memoryview, counters: Counters
    ) -> None:
        """Take the specification without connecting; raise OSError if the TLS files cannot be used."""
        self.spec = spec
        self.scope = scope
        self._limits = limits
        self._read_buffer = read_buffer
        self._counters = counters
        self._health = AddressHealth(spec.addresses, limits)
        # Before `start`, only the version matters.
        self._abilities = None if spec.version is None else BrokerAbilities(spec.version)
        self._context: ssl.SSLContext | None = None
        self._context_of: tuple[int, ...] = ()
        self._tls_context()
        self._examine_at: float | None = None
        self._told: BrokerAbilities | None = None
        self._looking = asyncio.Lock()
        self._trials: set[asyncio.Task[None]] = set()

    def __str__(self) -> str:
        return str(self.spec)

    @property
    def abilities(self) -> BrokerAbilities | None:
        """The broker's known abilities; None before it has answered."""
        return self._abilities

    @property
    def failed(self) -> tuple[BrokerAddress, ...]:
        """The nodes that were tried and do not answer."""
        return self._health.failed

    def login(self, certificate_id: str, client_id: str) -> Login:
        """Return the login of a connection; raise PacketRefused if there is none."""
        try:
            return self.spec.credentials.login(certificate_id, client_id, self.scope.account)
        except LoginUnusable as error:
            log.warning("a device cannot log in at the broker %s: %s", self, in_words(error))
            raise PacketRefused(ReasonCode.NOT_AUTHORIZED, "The broker cannot be logged in to") from error

    async def open(self, connection: DeviceConnection, asked: Connect) -> tuple[Upstream, BrokerTerms]:
        """Return a connection to a node that answers, and its terms; ``asked`` is a CONNECT of MQTT 5.

        Raises PacketRefused if the broker refuses the device, BrokerAway if no node answers in time.
        """
        abilities = await self._known()
        refusal = None if asked.will is None else abilities.refusal(will_message(asked.will), 0)
        if refusal is not None:
            raise PacketRefused(refusal, "The broker does not take the will")
        return await self._anywhere(lambda address: self._open_at(address, connection, asked, abilities))

    async def end_session(self, connection: DeviceConnection, asked: Connect) -> None:
        """End the client's session at a broker of MQTT 3.1.1, by a connection with a clean session.

        Raises PacketRefused or BrokerAway.
        """
        abilities = await self._known()
        upstream, _ = await self._anywhere(
            lambda address: self._dial_and_open(address, connection, older.ending_of_session(asked), abilities)
        )
        await upstream.leave(Disconnect())

    async def open_own(self, client: OwnClient) -> Upstream:
        """Return a connection of the service itself; raise PacketRefused or BrokerAway."""
        abilities = await self._known()
        upstream, _ = await self._anywhere(
            lambda address: self._dial_and_open(
                address, client, self._own_connect(client, abilities.version), abilities
            )
        )
        return upstream

    async def examine(self) -> BrokerAbilities:
        """Determine the broker's abilities; raise PacketRefused or BrokerAway if that is not possible."""
        granted = await self._look()
        await asyncio.gather(*(self._ask_whether_it_answers(each) for each in self._candidates()))
        sessions = self._own_session
        try:
            async with asyncio.timeout(self._limits.open_seconds + 4 * self._limits.probe_seconds):
                found = await probed(lambda: sessions(granted), granted, self._limits.probe_seconds)
        except TimeoutError as error:
            raise BrokerAway("it does not answer the service's questions") from error
        except PacketRefused as refused:
            if refused.reason_code not in _REFUSED_AS_A_USER:
                raise
            found = granted
        if found != self._told:
            log.info("the broker %s speaks %s", self, found)
        self._abilities = self._told = found
        # A cluster that has just started may have more features later.
        later = self._limits.examine_again_seconds if found.missing else math.inf
        self._examine_at = asyncio.get_running_loop().time() + later
        return found

    def advance(self, now: float) -> None:
        """Retry the failed nodes that are due; examine the broker again if features are unknown or missing."""
        if self._trials:
            return
        for address in self._health.due(now):
            self._begin(self._try(address))
        if (
            self._examine_at is not None
            and now >= self._examine_at
            and not self._trials
            and len(self._health.failed) < len(self.spec.addresses)
        ):
            self._begin(self._examine_quietly())

    async def start(self) -> None:
        """Determine the broker's abilities, now or as soon as it answers."""
        self._examine_at, self._abilities = 0.0, None
        await self._examine_quietly()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        trial = asyncio.get_running_loop().create_task(work)
        self._trials.add(trial)
        trial.add_done_callback(self._trials.discard)

    async def _examine_quietly(self) -> None:
        try:
            await self.examine()
        except (BrokerAway, PacketRefused) as error:
            log.warning("what the broker %s can do is not known yet: %s", self, in_words(error))

    async def stop(self) -> None:
        """Cancel the running attempts."""
        for trial in self._trials:
            trial.cancel()
        await asyncio.gather(*self._trials, return_exceptions=True)

    # Nodes

    async def _anywhere(self, attempt: _Attempt) -> tuple[Upstream, BrokerTerms]:
        candidates, reason = self._candidates(), "none of its nodes answers"
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
                self._failed(address, reason)
        raise BrokerAway(reason)

    def _candidates(self) -> tuple[BrokerAddress, ...]:
        return self._health.candidates(asyncio.get_running_loop().time())

    async def _open_at(
        self, address: BrokerAddress, connection: DeviceConnection, asked: Connect, abilities: BrokerAbilities
    ) -> tuple[Upstream, BrokerTerms]:
        if abilities.version is ProtocolVersion.MQTT_5:
            return await self._dial_and_open(address, connection, asked, abilities)
        if older.begins_anew_and_lasts(asked):
            ending = older.ending_of_session(asked)
            earlier, _ = await self._dial_and_open(address, connection, ending, abilities)
            await earlier.leave(Disconnect())
        upstream, terms = await self._dial_and_open(address, connection, older.in_3_1_1(asked), abilities)
        return upstream, replace(terms, session_expiry_interval=asked.properties.session_expiry_interval or 0)

    async def _dial_and_open(
        self, address: BrokerAddress, connection: DeviceConnection, connect: Connect, abilities: BrokerAbilities
    ) -> tuple[Upstream, BrokerTerms]:
        upstream = await address.connect(
            lambda: Upstream(
                connection, self._limits, self._read_buffer, self._counters, lambda: self._failed(address, _SILENT)
            ),
            self._tls_context(),
            self.spec.server_name,
        )
        try:
            terms = await upstream.open(connect, abilities)
        except BaseException:
            upstream.abort()
            raise
        self._answered(address)
        return upstream, terms

    def _failed(self, address: BrokerAddress, reason: str) -> None:
        if self._health.failed_at(address, asyncio.get_running_loop().time()):
            log.warning("the broker at %s does not answer: %s", address, reason)

    def _answered(self, address: BrokerAddress) -> None:
        if self._health.answered(address):
            log.info("the broker at %s answers again", address)

    async def _try(self, address: BrokerAddress) -> None:
        """Connect as the service to a node that has failed; its broker may have another version now."""
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                found = await self._look_at(address)
        except (OSError, TimeoutError, PacketRefused) as error:
            self._failed(address, in_words(error))
            return
        if self._abilities is not None and found.version is not self._abilities.version:
            self._abilities, self._examine_at = found, 0.0
        self._answered(address)

    # Versions and features

    async def _known(self) -> BrokerAbilities:
        if self._abilities is not None:
            return self._abilities
        async with self._looking:
            return await self._find_out()

    async def _find_out(self) -> BrokerAbilities:
        if self._abilities is not None:
            # The connection of another device has determined the abilities meanwhile.
            return self._abilities
        if self._examine_at is not None:
            return await self.examine()
        self._abilities = await self._look()
        return self._abilities

    async def _look(self) -> BrokerAbilities:
        """Return the abilities from a node's CONNACK; raise PacketRefused or BrokerAway."""
        reason = "none of its nodes answers"
        refused: PacketRefused | None = None
        for address in self._candidates():
            try:
                async with asyncio.timeout(self._limits.open_seconds):
                    return await self._look_at(address)
            except PacketRefused as error:
                refused = error
            except (OSError, TimeoutError) as error:
                reason = in_words(error)
                self._failed(address, reason)
        if refused is not None:
            raise refused
        raise BrokerAway(reason)

    async def _ask_whether_it_answers(self, address: BrokerAddress) -> None:
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                await self._look_at(address)
        except (OSError, TimeoutError, PacketRefused) as error:
            self._failed(address, in_words(error))

    async def _look_at(self, address: BrokerAddress) -> BrokerAbilities:
        versions = _VERSIONS if self.spec.version is None else (self.spec.version,)
        for version in versions:
            client = self._own_client()
            try:
                upstream, terms = await self._dial_and_open(
                    address, client, self._own_connect(client, version), BrokerAbilities(version)
                )
            except PacketRefused as refused:
                if refused.reason_code in _REFUSED_AS_A_USER:
                    log.warning("the broker at %s does not let the service in: its features stay unknown", address)
                    return BrokerAbilities(version)
                if version is versions[-1]:
                    raise
                continue
            await upstream.leave(Disconnect())
            return terms.abilities
        raise AssertionError("the last version returns or raises")

    @asynccontextmanager
    async def _own_session(self, abilities: BrokerAbilities) -> AsyncIterator[tuple[OwnClient, Upstream]]:
        client = self._own_client()
        upstream, _ = await self._anywhere(
            lambda address: self._dial_and_open(
                address, client, self._own_connect(client, abilities.version), abilities
            )
        )
        try:
            yield client, upstream
        finally:
            await upstream.leave(Disconnect())

    def _own_client(self) -> OwnClient:
        return OwnClient(new_own_id(), self.scope, is_watched=False)

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
