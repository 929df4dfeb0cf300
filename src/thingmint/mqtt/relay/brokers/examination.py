"""Owns what is known of a broker's version and features, and the examinations that determine them.

A CONNACK gives the version. The `probe` tries the features. Failed nodes are tried again here, because their broker may
have another version when it returns.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Final

from thingmint.core.error_text import in_words
from thingmint.mqtt.codec.packets import Disconnect, ProtocolVersion
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.relay.abilities import BrokerAbilities
from thingmint.mqtt.relay.brokers.address import BrokerAddress
from thingmint.mqtt.relay.brokers.broker_nodes import NONE_ANSWERS, BrokerNodes, BrokerUnreachable, new_own_id
from thingmint.mqtt.relay.brokers.probe import probed
from thingmint.mqtt.relay.connections.upstream import Upstream
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.own_client import OwnClient

_VERSIONS: Final = (ProtocolVersion.MQTT_5, ProtocolVersion.MQTT_3_1_1)
# Answers to the service's own CONNECT which show that the broker is available and has this version.
_REFUSED_AS_A_USER: Final = frozenset({ReasonCode.NOT_AUTHORIZED, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID})

log = logging.getLogger(__name__)


class BrokerExamination:
    """Determines the abilities of one broker, at the start, for the first device, and again at times."""

    def __init__(self, nodes: BrokerNodes, limits: RelayLimits) -> None:
        """Take the nodes without connecting."""
        self._nodes = nodes
        self._limits = limits
        version = nodes.spec.version
        # Before `start`, only the version matters.
        self._abilities = None if version is None else BrokerAbilities(version)
        self._logged: BrokerAbilities | None = None
        self._examine_at: float | None = None
        self._looking = asyncio.Lock()
        self._trials: set[asyncio.Task[None]] = set()

    @property
    def abilities(self) -> BrokerAbilities | None:
        """The broker's known abilities; None before it has answered."""
        return self._abilities

    async def known(self) -> BrokerAbilities:
        """Return the abilities, determined now if they are not known; raise PacketRefused or BrokerUnreachable."""
        if self._abilities is not None:
            return self._abilities
        async with self._looking:
            return await self._find_out()

    async def examine(self) -> BrokerAbilities:
        """Determine the broker's abilities; raise PacketRefused or BrokerUnreachable if that is not possible."""
        granted = await self._look()
        await asyncio.gather(*(self._ask_whether_it_answers(each) for each in self._nodes.candidates()))
        try:
            async with asyncio.timeout(self._limits.open_seconds + 4 * self._limits.probe_seconds):
                found = await probed(lambda: self._session(granted), granted, self._limits.probe_seconds)
        except TimeoutError as error:
            raise BrokerUnreachable("it does not answer the service's questions") from error
        except PacketRefused as refused:
            if refused.reason_code not in _REFUSED_AS_A_USER:
                raise
            found = granted
        if found != self._logged:
            log.info("the broker %s speaks %s", self._nodes.spec, found)
        self._abilities = self._logged = found
        # A cluster that has just started may have more features later.
        later = self._limits.examine_again_seconds if found.missing else math.inf
        self._examine_at = asyncio.get_running_loop().time() + later
        return found

    async def start(self) -> None:
        """Determine the broker's abilities, now or as soon as it answers."""
        self._examine_at, self._abilities = 0.0, None
        await self._examine_quietly()

    def advance(self, now: float) -> None:
        """Retry the failed nodes that are due; examine the broker again if features are unknown or missing."""
        if self._trials:
            return
        for address in self._nodes.due(now):
            self._begin(self._try(address))
        if self._examine_at is not None and now >= self._examine_at and not self._trials and not self._nodes.all_failed:
            self._begin(self._examine_quietly())

    async def stop(self) -> None:
        """Cancel the running attempts."""
        for trial in self._trials:
            trial.cancel()
        await asyncio.gather(*self._trials, return_exceptions=True)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        trial = asyncio.get_running_loop().create_task(work)
        self._trials.add(trial)
        trial.add_done_callback(self._trials.discard)

    async def _examine_quietly(self) -> None:
        try:
            await self.examine()
        except (BrokerUnreachable, PacketRefused) as error:
            log.warning("what the broker %s can do is not known yet: %s", self._nodes.spec, in_words(error))

    async def _try(self, address: BrokerAddress) -> None:
        """Connect as the service to a node that has failed; its broker may have another version now."""
        found = await self._ask_whether_it_answers(address)
        if found is None:
            return
        if self._abilities is not None and found.version is not self._abilities.version:
            self._abilities, self._examine_at = found, 0.0
        self._nodes.has_answered(address)

    async def _find_out(self) -> BrokerAbilities:
        if self._abilities is not None:
            # The connection of another device has determined the abilities meanwhile.
            return self._abilities
        if self._examine_at is not None:
            return await self.examine()
        self._abilities = await self._look()
        return self._abilities

    async def _look(self) -> BrokerAbilities:
        """Return the abilities from a node's CONNACK; raise PacketRefused or BrokerUnreachable."""
        reason = NONE_ANSWERS
        refused: PacketRefused | None = None
        for address in self._nodes.candidates():
            try:
                async with asyncio.timeout(self._limits.open_seconds):
                    return await self._look_at(address)
            except PacketRefused as error:
                refused = error
            except (OSError, TimeoutError) as error:
                reason = in_words(error)
                self._nodes.has_failed(address, reason)
        if refused is not None:
            raise refused
        raise BrokerUnreachable(reason)

    async def _ask_whether_it_answers(self, address: BrokerAddress) -> BrokerAbilities | None:
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                return await self._look_at(address)
        except (OSError, TimeoutError, PacketRefused) as error:
            self._nodes.has_failed(address, in_words(error))
            return None

    async def _look_at(self, address: BrokerAddress) -> BrokerAbilities:
        wanted = self._nodes.spec.version
        versions = _VERSIONS if wanted is None else (wanted,)
        for version in versions:
            try:
                upstream, terms = await self._nodes.open_own_at(address, self._client(), BrokerAbilities(version))
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
    async def _session(self, abilities: BrokerAbilities) -> AsyncIterator[tuple[OwnClient, Upstream]]:
        client = self._client()
        upstream = await self._nodes.open_own(client, abilities)
        try:
            yield client, upstream
        finally:
            await upstream.leave(Disconnect())

    def _client(self) -> OwnClient:
        return OwnClient(new_own_id(), self._nodes.scope, is_watched=False)
