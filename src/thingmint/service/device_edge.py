"""Owns the device edge as a whole: the gateway on the registry, and what changes in the registry mean for it.

A status that is not ACTIVE any more, a policy or an attachment that changed, reaches open connections at once where the
change was made, and within a second on every other node.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog
from OpenSSL import SSL

from thingmint.api.provisioning.fleet import Fleet
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import ServiceUnavailable, ThingmintError
from thingmint.core.identifiers import Scope
from thingmint.core.policies.target import CertificateTarget
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.edges.fleet_edge import FleetEdge
from thingmint.mqtt.edges.life_cycle import life_cycle_event
from thingmint.mqtt.edges.operator_edge import OperatorEdges
from thingmint.mqtt.edges.refusal_log import RefusalLog
from thingmint.mqtt.edges.registered_devices import RegisteredDevices, device_caller
from thingmint.mqtt.edges.registry_events import registry_event
from thingmint.mqtt.edges.unserved_messages import UnservedMessages
from thingmint.mqtt.events import ActionRefused, ConnectRefused, GatewayEvent, MessageNotServed, Refused
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.certificates.auto_registration import AutoRegistration
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.kernel.turns import Pace
from thingmint.registration.provisioning.claims import recognise_claim
from thingmint.registration.provisioning.just_in_time import provision_at_first_connection

_POLL_SECONDS = 1.0
_SWEEP_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """Where the gateway listens, and whether another port will do if this one is taken.

    ``alpn`` is a second host and port, for SDKs that say MQTT by ALPN; one gateway listens on both.
    """

    host: str
    port: int
    is_default: bool
    alpn: tuple[str, int] | None = None


class DeviceEdge:
    """Serves devices of one registry."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        scope: Scope,
        *,
        address: DeviceAddress,
        tls_context: SSL.Context,
        data_plane: DataPlane,
        limits: GatewayLimits,
        observe_connections: Callable[[int], None],
        counters: Counters | None = None,
        observe_refusal: Callable[[str, str], None] = lambda action, reason: None,
        observe_turned_away: Callable[[int], None] | None = None,
        observe_unserved: Callable[[int], None] | None = None,
    ) -> None:
        self._authority = authority
        self._scope = scope
        self._watch: ChangeWatch[CertificateTarget] = ChangeWatch(authority.store)
        self._devices = RegisteredDevices(authority, scope, self._watch, self)
        self._tls_context = tls_context
        self._address = address
        self._fleet = FleetEdge(Fleet(authority))
        self._data_plane = data_plane
        self._limits = limits
        self._observe_connections = observe_connections
        self._counters = counters
        self._refusals = RefusalLog(structlog.get_logger("thingmint"), observe_refusal)
        self._unserved = UnservedMessages(observe_unserved)
        self._observe_turned_away = observe_turned_away
        self._gateway = self._new_gateway(address.port)
        self._for_operators = OperatorEdges(lambda: self._gateway, data_plane, authority.clock)
        self._nudged = asyncio.Event()
        self._unseen: dict[CertificateTarget, None] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """The port that devices connect to."""
        return self._gateway.port

    @property
    def alpn_port(self) -> int | None:
        """The second port, if there is one."""
        return None if self._address.alpn is None else self._gateway.ports[1]

    @property
    def is_listening(self) -> bool:
        """Whether devices can connect; those that are connected do not need it."""
        return self._gateway.is_listening

    @property
    def gateway(self) -> Gateway:
        """The gateway itself."""
        return self._gateway

    @property
    def for_operators(self) -> OperatorEdges:
        """What the API does with messages and connections, for the devices of each account."""
        return self._for_operators

    async def start(self) -> None:
        """Listen and serve; raise OSError if the address cannot be had, unless it is the default one."""
        try:
            await self._gateway.start()
        except OSError:
            if not self._address.is_default:
                raise
            # A second service on one machine is a developer's; its devices find the port in endpoints.json.
            log.warning("port %d is taken: devices connect to another one", self._address.port)
            self._gateway = self._new_gateway(0)
            await self._gateway.start()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._sweep())]

    async def stop(self, grace: float) -> None:
        """Say goodbye to devices and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._gateway.stop(grace)
        self._refusals.close()
        self._unserved.close()

    def use_tls_context(self, context: SSL.Context) -> None:
        """Use another server certificate for the connections to come."""
        self._tls_context = context
        self._gateway.use_tls_context(context)

    def happened(self, event: RegistryEvent) -> None:
        """Publish an event of a registry, which its account wants to be told of."""
        event_id, now = self._authority.new_generation_id(), self._authority.clock.now()
        self._gateway.tell(event.scope, *registry_event(event, event_id, now))

    def recorded(self, entry: AuditEntry) -> None:
        """Look at what changed now instead of within a second: it was committed here."""
        del entry
        self._nudged.set()

    def heard(self, event: GatewayEvent) -> None:
        """Log what was refused or dropped; publish other events to the devices of the account."""
        match event:
            case ConnectRefused():
                self._refusals.connect_refused(event)
            case ActionRefused():
                self._refusals.action_refused(event)
            case MessageNotServed():
                self._unserved.note(event)
            case _:
                published = life_cycle_event(event)
                if published is not None:
                    self._gateway.tell(event.link.scope, *published)

    async def connected(self, registration: AutoRegistration, source_address: str) -> None:
        """Tell of a certificate that waits for its activation, and provision its device if its CA says how."""
        certificate, config = registration.certificate, registration.ca_certificate.registration_config
        self._gateway.tell(certificate.scope, *_registered_event(registration))
        if config is None or not config.has_template:
            return
        caller = device_caller(certificate.scope, certificate.certificate_id, source_address)
        try:
            await provision_at_first_connection(self._authority, caller, certificate, config)
        except ThingmintError as error:
            self._refusals.connect_refused(
                _not_provisioned(registration, source_address, error, self._authority.clock.now())
            )

    def _new_gateway(self, port: int) -> Gateway:
        return Gateway(
            host=self._address.host,
            port=port,
            also=() if self._address.alpn is None else (self._address.alpn,),
            tls_context=self._tls_context,
            registry=self._devices,
            fleet=self._fleet,
            data_plane=self._data_plane,
            events=self,
            clock=self._authority.clock,
            limits=self._limits,
            observe_connections=self._observe_connections,
            counters=self._counters,
            observe_turned_away=self._observe_turned_away,
        )

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._nudged.wait()
            self._nudged.clear()
            self._refusals.advance()
            self._unserved.advance()
            try:
                await self._look_at_all()
            except ServiceUnavailable:
                # Until the store answers again, devices keep what was decided for them.
                continue
            except Exception:
                # Whatever it was, revocations to come must reach devices.
                log.exception("changes of the registry could not be followed")

    async def _look_at_all(self) -> None:
        """Look at what has changed, and at what could not be looked at before: the watch tells of it once.

        Other work goes on in between. What changes meanwhile comes first: it may be a revocation, and a change of a
        policy may concern the whole fleet.
        """
        await self._notice()
        pace = Pace()
        while self._unseen:
            target = next(iter(self._unseen))
            await self._look_at(target)
            self._unseen.pop(target, None)
            if await pace.rest() and self._nudged.is_set():
                self._nudged.clear()
                await self._notice()

    async def _notice(self) -> None:
        self._unseen = {**dict.fromkeys(await self._watch.changed_keys()), **self._unseen}

    async def _look_at(self, target: CertificateTarget) -> None:
        if await self._may_stay(target):
            self._gateway.policies_changed([target])
        else:
            self._gateway.certificate_changed(target)

    async def _may_stay(self, target: CertificateTarget) -> bool:
        certificate = await self._stored(target)
        if certificate is not None:
            return certificate.status is CertificateStatus.ACTIVE
        claim = await recognise_claim(self._authority, target.certificate_id)
        return claim is not None and claim.scope == target.scope

    async def _stored(self, target: CertificateTarget) -> Certificate | None:
        return await self._authority.store.read(
            lambda: certificate_table.certificate(target.scope, target.certificate_id)
        )

    async def _sweep(self) -> None:
        """Forget devices that are gone; a device has its connection long before it is looked at twice."""
        gone: frozenset[CertificateTarget] = frozenset()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            absent = frozenset(known for known in self._devices.known if not self._gateway.has_connection_of(known))
            for target in absent & gone:
                self._watch.forget(target)
                self._devices.known.discard(target)
            gone = absent


def _not_provisioned(
    registration: AutoRegistration, source_address: str, error: ThingmintError, at: datetime
) -> ConnectRefused:
    """Return that the template of a device's CA could not be carried out at its first connection."""
    certificate, ca_certificate = registration.certificate, registration.ca_certificate
    config = ca_certificate.registration_config
    template = config.template_name if config is not None else None
    detail = f"{error.message} ({f'template {template}' if template else 'the template of the CA certificate'})"
    refused = Refused("RegisterThing", type(error).__name__, f"cacert/{ca_certificate.certificate_id}", detail=detail)
    return ConnectRefused(
        certificate.certificate_id,
        source_address,
        at,
        error.message,
        scope=certificate.scope,
        refused=refused,
    )


def _registered_event(registration: AutoRegistration) -> tuple[str, bytes]:
    """Return the event that AWS IoT publishes for a certificate that waits for its activation."""
    certificate, ca_id = registration.certificate, registration.ca_certificate.certificate_id
    at = int(certificate.created_at.timestamp() * 1000)
    payload = {
        "certificateId": certificate.certificate_id,
        "caCertificateId": ca_id,
        "timestamp": at,
        "certificateStatus": str(certificate.status),
        "awsAccountId": certificate.scope.account,
        "certificateRegistrationTimestamp": str(at),
    }
    return f"$aws/events/certificates/registered/{ca_id}", msgspec.json.encode(payload)
