"""Owns the broker of one account: it opens devices' connections and the service's own, in the version it supports."""

from msgspec.structs import replace

from thingmint.core.identifiers import Scope
from thingmint.mqtt.broker.session import will_message
from thingmint.mqtt.codec.packets import Connect, Disconnect, ProtocolVersion
from thingmint.mqtt.codec.reason_codes import PacketRefused
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DeviceConnection
from thingmint.mqtt.relay import mqtt_3_1_1
from thingmint.mqtt.relay.abilities import BrokerAbilities
from thingmint.mqtt.relay.brokers.address import BrokerAddress
from thingmint.mqtt.relay.brokers.broker_nodes import BrokerNodes
from thingmint.mqtt.relay.brokers.examination import BrokerExamination
from thingmint.mqtt.relay.brokers.spec import BrokerSpec
from thingmint.mqtt.relay.connections.upstream import Upstream
from thingmint.mqtt.relay.credentials import Login
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.own_client import OwnClient
from thingmint.mqtt.relay.terms import BrokerTerms


class AccountBroker:
    """One broker, for the devices of one account and the service."""

    def __init__(
        self, spec: BrokerSpec, scope: Scope, limits: RelayLimits, read_buffer: memoryview, counters: Counters
    ) -> None:
        """Take the specification without connecting; raise OSError if the TLS files cannot be used."""
        self.spec = spec
        self.scope = scope
        self._nodes = BrokerNodes(spec, scope, limits, read_buffer, counters)
        self._examination = BrokerExamination(self._nodes, limits)

    def __str__(self) -> str:
        return str(self.spec)

    @property
    def abilities(self) -> BrokerAbilities | None:
        """The broker's known abilities; None before it has answered."""
        return self._examination.abilities

    @property
    def failed(self) -> tuple[BrokerAddress, ...]:
        """The nodes that were tried and do not answer."""
        return self._nodes.failed

    def login(self, certificate_id: str, client_id: str) -> Login:
        """Return the login of a connection; raise PacketRefused if there is none."""
        return self._nodes.login(certificate_id, client_id)

    async def open(self, connection: DeviceConnection, asked: Connect) -> tuple[Upstream, BrokerTerms]:
        """Return a connection to a node that answers, and its terms; ``asked`` is a CONNECT of MQTT 5.

        Raises PacketRefused if the broker refuses the device, BrokerUnreachable if no node answers in time.
        """
        abilities = await self._examination.known()
        refusal = None if asked.will is None else abilities.refusal(will_message(asked.will), 0)
        if refusal is not None:
            raise PacketRefused(refusal, "The broker does not take the will")
        return await self._nodes.first_that_answers(
            lambda address: self._open_at(address, connection, asked, abilities)
        )

    async def end_session(self, connection: DeviceConnection, asked: Connect) -> None:
        """End the client's session at a broker of MQTT 3.1.1, by a connection with a clean session.

        Raises PacketRefused or BrokerUnreachable.
        """
        abilities = await self._examination.known()
        ending = mqtt_3_1_1.ending_of_session(asked)
        upstream, _ = await self._nodes.first_that_answers(
            lambda address: self._nodes.open_at(address, connection, ending, abilities)
        )
        await upstream.leave(Disconnect())

    async def open_own(self, client: OwnClient) -> Upstream:
        """Return a connection of the service itself; raise PacketRefused or BrokerUnreachable."""
        return await self._nodes.open_own(client, await self._examination.known())

    async def examine(self) -> BrokerAbilities:
        """Determine the broker's abilities; raise PacketRefused or BrokerUnreachable if that is not possible."""
        return await self._examination.examine()

    def advance(self, now: float) -> None:
        """Retry the failed nodes that are due; examine the broker again if features are unknown or missing."""
        self._examination.advance(now)

    async def start(self) -> None:
        """Determine the broker's abilities, now or as soon as it answers."""
        await self._examination.start()

    async def stop(self) -> None:
        """Cancel the running attempts."""
        await self._examination.stop()

    async def _open_at(
        self, address: BrokerAddress, connection: DeviceConnection, asked: Connect, abilities: BrokerAbilities
    ) -> tuple[Upstream, BrokerTerms]:
        if abilities.version is ProtocolVersion.MQTT_5:
            return await self._nodes.open_at(address, connection, asked, abilities)
        if mqtt_3_1_1.begins_anew_and_lasts(asked):
            ending = mqtt_3_1_1.ending_of_session(asked)
            earlier, _ = await self._nodes.open_at(address, connection, ending, abilities)
            await earlier.leave(Disconnect())
        upstream, terms = await self._nodes.open_at(address, connection, mqtt_3_1_1.in_3_1_1(asked), abilities)
        return upstream, replace(terms, session_expiry_interval=asked.properties.session_expiry_interval or 0)
