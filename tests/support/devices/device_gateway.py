"""Runs the device gateway in a thread, on the built-in broker, with fakes of the registry and of provisioning."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.brokers.broker import SCOPE
from tests.support.devices.device_identities import Identity, client_context, new_identity, server_identity
from tests.support.devices.tls_echo import tls_context_of
from tests.support.machine.loop_thread import LoopThread, loop_thread

from thingmint.api.wire.device_operation import DeviceRequest
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import CertificateId, PrincipalId, Scope, certificate_id_of
from thingmint.core.policies.authorizer import Authorizer
from thingmint.core.policies.language import Decision, DecisionEffect, Policy, parse_policy
from thingmint.core.policies.target import CertificateTarget
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.events import GatewayEvent
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.rights.ports import (
    ConnectionFacts,
    Denial,
    DeviceAnswer,
    DeviceRefusal,
    DeviceRefused,
    DeviceRegistry,
    HandshakeSigner,
    Requester,
)
from thingmint.mqtt.transport.limits import GatewayLimits

ARN = "arn:aws:iot:us-east-1:000000000000:"
CREATE = "$aws/certificates/create/json"
FOR_EVER = datetime.max.replace(tzinfo=UTC)
PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\nwhich nobody else may see"


def policy(*statements: tuple[str, str]) -> Policy:
    """Return a policy that allows these actions on these resources, each the last part of an ARN."""
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": action, "Resource": resource if resource == "*" else ARN + resource}
            for action, resource in statements
        ],
    }
    return parse_policy(json.dumps(document))


EVERYTHING = policy(("*", "*"))


@dataclass(frozen=True)
class FakeAuthorizer:
    """A policy, compiled each time."""

    policy: Policy
    facts: ConnectionFacts

    def allows(self, action: str, resource: str) -> bool:
        return self._decide(action, resource).effect is DecisionEffect.ALLOWED

    def denial(self, action: str, resource: str) -> Denial:
        decision = self._decide(action, resource)
        return Denial(decision.effect.name, "own" if decision.policy_index == 0 else None)

    def _decide(self, action: str, resource: str) -> Decision:
        context = {"iot:ClientId": (self.facts.client_id,), "aws:SourceIp": (self.facts.source_address,)}
        return Authorizer([self.policy], context).decide(action, ARN + resource)


@dataclass
class FakeDevice:
    """A certificate in the fake registry. What happens while its policies are read can be arranged."""

    principal_id: PrincipalId
    policy: Policy = EVERYTHING
    refusal: DeviceRefusal | None = None
    failures: list[Exception] = field(default_factory=list)
    while_reading: Callable[[], None] = lambda: None
    facts: list[ConnectionFacts] = field(default_factory=list)
    scope: Scope = SCOPE
    valid_until: datetime = FOR_EVER

    async def check(self) -> None:
        if self.refusal is not None:
            raise DeviceRefused(self.refusal)

    async def authorizer(self, facts: ConnectionFacts) -> FakeAuthorizer:
        self.facts.append(facts)
        current = self.policy
        await asyncio.sleep(0)
        self.while_reading()
        if self.failures:
            raise self.failures.pop()
        return FakeAuthorizer(current, facts)


@dataclass
class FakeRegistry:
    """Certificates by their id."""

    devices: dict[CertificateId, FakeDevice] = field(default_factory=dict)
    signers: dict[str, FakeDevice] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    identified: list[tuple[Sequence[bytes], str | None]] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def identify(self, chain: Sequence[bytes], server_name: str | None, source_address: str) -> FakeDevice:
        self.identified.append((chain, server_name))
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop()
        device = self.devices.get(certificate_id_of(chain[0]))
        if device is None:
            raise DeviceRefused(DeviceRefusal.NOT_REGISTERED)
        if device.refusal is not None:
            raise DeviceRefused(device.refusal)
        return device

    async def identify_signer(self, signer: HandshakeSigner, source_address: str) -> FakeDevice:
        device = self.signers.get(signer.target.access_key_id)
        if device is None:
            raise DeviceRefused(DeviceRefusal.ACCESS_KEY_INVALID)
        return device


@dataclass
class FakeFleet:
    """Answers provisioning requests with made-up keys, or identities of its own; a gate makes them wait."""

    requests: list[tuple[Requester, str, bytes]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None
    answer_bytes: int = 0
    identities: dict[str, Identity] = field(default_factory=dict)
    provisioned: Callable[[Identity], object] | None = None

    async def answer(self, requester: Requester, request: DeviceRequest, payload: bytes) -> DeviceAnswer:
        self.requests.append((requester, request.topic, payload))
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop()
        answer = self._registered(payload) if "/provision/" in request.topic else self._created(requester)
        return DeviceAnswer(f"{request.topic}/accepted", json.dumps(answer).encode().ljust(self.answer_bytes))

    def rejection(self, request: DeviceRequest, error: ThingmintError) -> DeviceAnswer:
        answer = {"statusCode": 429, "errorCode": type(error).__name__, "errorMessage": error.message}
        return DeviceAnswer(f"{request.topic}/rejected", json.dumps(answer).encode())

    def _created(self, requester: Requester) -> dict[str, str]:
        if self.provisioned is None:
            return {"privateKey": PRIVATE_KEY, "certificateId": requester.client_id}
        identity = new_identity()
        self.identities[identity.certificate_id] = identity
        return {
            "certificateId": identity.certificate_id,
            "certificatePem": identity.chain_pem.decode(),
            "privateKey": identity.key_pem.decode(),
            "certificateOwnershipToken": identity.certificate_id,
        }

    def _registered(self, payload: bytes) -> dict[str, object]:
        request = json.loads(payload)
        if self.provisioned is not None:
            self.provisioned(self.identities[request["certificateOwnershipToken"]])
        return {"thingName": "thing", "deviceConfiguration": {}}


@dataclass
class Events:
    """What the gateway told."""

    all: list[GatewayEvent] = field(default_factory=list)

    def receive(self, event: GatewayEvent) -> None:
        self.all.append(event)


@dataclass
class SystemClock:
    """The time, or a later one."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class LiveGateway:
    """A gateway in its thread, and all it works with."""

    thread: LoopThread
    gateway: Gateway
    registry: FakeRegistry
    fleet: FakeFleet
    events: Events
    directory: Path
    clock: SystemClock

    @property
    def port(self) -> int:
        return self.gateway.port

    def register(
        self, identity: Identity | None = None, allowed: Policy = EVERYTHING, *, scope: Scope = SCOPE
    ) -> Identity:
        """Register a certificate, a new one unless it is given."""
        identity = identity or new_identity()
        self.registry.devices[identity.certificate_id] = FakeDevice(identity.certificate_id, allowed, scope=scope)
        return identity

    def target(self, identity: Identity) -> CertificateTarget:
        """Return what the gateway is told of when an identity changes."""
        return CertificateTarget(self.device(identity).scope, identity.certificate_id)

    def device(self, identity: Identity) -> FakeDevice:
        """Return what the registry has of an identity."""
        return self.registry.devices[identity.certificate_id]

    def context(self, identity: Identity | None, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a device's TLS context."""
        return client_context(self.directory, identity, version=version)

    def ca_file(self) -> Path:
        """Return the file of the gateway's trust anchor."""
        path = self.directory / "ca.pem"
        path.write_bytes(server_identity().chain_pem)
        return path

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds in the gateway's loop."""
        self.thread.wait_until(condition)


@contextlib.contextmanager
def live_gateway(
    directory: Path,
    *,
    limits: GatewayLimits | None = None,
    broker_limits: BrokerLimits | None = None,
    loop_name: str = "uvloop",
    port: int = 0,
    also: Sequence[tuple[str, int]] = (),
    data_plane: DataPlane | None = None,
    registry: DeviceRegistry | None = None,
    counters: Counters | None = None,
    observe_kept: Callable[[], None] | None = None,
) -> Iterator[LiveGateway]:
    """Start a gateway on a free port of the loopback, and stop it at the end; a given registry replaces the fake."""
    fakes, fleet, events = FakeRegistry(), FakeFleet(), Events()
    local = LocalDataPlane(broker_limits or BrokerLimits(), time.monotonic, counters)
    clock = SystemClock()
    gateway = Gateway(
        host="127.0.0.1",
        port=port,
        also=also,
        tls_context=tls_context_of(server_identity()),
        registry=registry or fakes,
        responder=fleet,
        data_plane=data_plane or local,
        events=events,
        clock=clock,
        limits=limits,
        counters=counters,
        observe_kept=observe_kept,
    )
    with loop_thread(loop_name) as thread:
        thread.run(gateway.start())
        try:
            yield LiveGateway(thread, gateway, fakes, fleet, events, directory, clock)
        finally:
            for gate in (fakes.gate, fleet.gate):
                if gate is not None:
                    thread.call(gate.set)
            thread.run(gateway.stop(1.0))
            assert gateway.open_connections == 0
            assert gateway.connected_devices == 0
