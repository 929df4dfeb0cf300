"""Owns the gateway under test: a process of its own with the real gateway and data plane, which knows one device.

Policies are real and are evaluated for each message. The registry has one certificate and no database: it is asked at
CONNECT only, which is not what is measured. Objects of connections are excluded from garbage collections, as in the
service: a full collection of 3,000 connections would stop the gateway for a tenth of a second.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec.structs import replace

from thingmint.api.wire.device_operation import DeviceRequest
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, certificate_id_of
from thingmint.core.policies.authorizer import Authorizer
from thingmint.core.policies.language import Policy, parse_policy
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.events import GatewayEvent
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.relay.brokers.spec import Brokers, one_broker
from thingmint.mqtt.relay.credentials import BrokerCredentials
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.mqtt.rights.ports import (
    ConnectionFacts,
    Denial,
    DeviceAnswer,
    DeviceRefusal,
    DeviceRefused,
    HandshakeSigner,
    Requester,
)
from thingmint.mqtt.transport.long_lived import LongLivedObjects
from thingmint.mqtt.transport.tls import device_tls_context

LOCAL = "local"
SCOPE = Scope(AccountId("000000000000"), Region("us-east-1"))
ARN = "arn:aws:iot:us-east-1:000000000000:"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{ARN}client/bench-*"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": f"{ARN}topic/bench/*"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/bench/*"},
    ],
}


@dataclass(frozen=True)
class Policies:
    """The policies of one connection."""

    authorizer: Authorizer

    def allows(self, action: str, resource: str) -> bool:
        """Ask them."""
        return self.authorizer.allows(action, ARN + resource)

    def denial(self, action: str, resource: str) -> Denial:
        """Ask them why not."""
        return Denial(self.authorizer.decide(action, ARN + resource).effect.name)


@dataclass(frozen=True)
class OneDevice:
    """Every device is this one."""

    principal_id: CertificateId
    policy: Policy
    scope: Scope = SCOPE
    valid_until: datetime = datetime.max.replace(tzinfo=UTC)  # noqa: RUF009  # a constant of the class

    async def check(self) -> None:
        """Admit it."""

    async def authorizer(self, facts: ConnectionFacts) -> Policies:
        """Return its policy, compiled for the connection."""
        return Policies(Authorizer([self.policy], {"iot:ClientId": (facts.client_id,)}))


class OneDeviceRegistry:
    """Knows whoever asks."""

    def __init__(self) -> None:
        self._policy = parse_policy(json.dumps(POLICY))

    async def identify(self, chain: Sequence[bytes], server_name: str | None, source_address: str) -> OneDevice:
        """Return the device."""
        return OneDevice(certificate_id_of(chain[0]), self._policy)

    async def identify_signer(self, signer: HandshakeSigner, source_address: str) -> OneDevice:
        """Know no access keys."""
        raise DeviceRefused(DeviceRefusal.ACCESS_KEY_INVALID)


class NoFleet:
    """Nothing is provisioned here."""

    async def answer(self, requester: Requester, request: DeviceRequest, payload: bytes) -> DeviceAnswer:
        """Answer with nothing."""
        return DeviceAnswer(f"{request.topic}/rejected", b"")

    def rejection(self, request: DeviceRequest, error: ThingmintError) -> DeviceAnswer:
        """Answer with nothing."""
        return DeviceAnswer(f"{request.topic}/rejected", b"")


class NoEvents:
    """Nobody listens."""

    def receive(self, event: GatewayEvent) -> None:
        """Forget it."""


class SystemClock:
    """The time."""

    def now(self) -> datetime:
        """Return it."""
        return datetime.now(UTC)


async def serve(directory: Path, port: int, broker: str, username: str | None, password: str | None) -> None:
    """Serve until SIGTERM, with the broker at this address or with the built-in one (``local``)."""
    data_plane: DataPlane
    if broker == LOCAL:
        data_plane = LocalDataPlane(BrokerLimits(), time.monotonic)
    else:
        spec = one_broker(broker, SCOPE).default
        assert spec is not None, "it is the one"
        if username is not None:
            spec = replace(spec, credentials=BrokerCredentials(username, password=password))
        data_plane = RelayDataPlane(Brokers(SCOPE, spec))
    certificate = x509.load_pem_x509_certificate((directory / "server.pem").read_bytes())
    key = load_pem_private_key((directory / "server.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    long_lived = LongLivedObjects()
    gateway = Gateway(
        host="127.0.0.1",
        port=port,
        tls_context=device_tls_context([certificate], key),
        registry=OneDeviceRegistry(),
        responder=NoFleet(),
        data_plane=data_plane,
        events=NoEvents(),
        clock=SystemClock(),
        observe_accepted=long_lived.came,
        observe_kept=long_lived.kept,
    )
    await gateway.start()
    gc.freeze()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), 1.0)
        long_lived.advance(gateway.connected_devices)
    await gateway.stop(1.0)


if __name__ == "__main__":
    user, secret = os.environ.get("BENCH_BROKER_USER"), os.environ.get("BENCH_BROKER_PASSWORD")
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], user, secret))
