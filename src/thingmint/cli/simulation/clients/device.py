"""Owns the life of one simulated device: claim, identity, registration, reconnection, messages.

A device that fails records the failure, and does nothing more.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from time import perf_counter
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from thingmint.cli.simulation.clients.client import ANSWER_SECONDS, BrokerRefused, Client, ConnectionLost
from thingmint.cli.simulation.clients.est import EstBusy, EstTarget, issuer_of, pem_and_id
from thingmint.cli.simulation.clients.failing import Failing
from thingmint.cli.simulation.clients.identity import Identity, new_renewal_request, new_signing_request
from thingmint.cli.simulation.measures import Measures, Step
from thingmint.cli.simulation.target import Target
from thingmint.core.topics.patterns import (
    CREATE_CERTIFICATE_FROM_CSR,
    CREATE_KEYS_AND_CERTIFICATE,
    FORMAT,
    REGISTER_THING,
    TEMPLATE_NAME,
    AnswerOutcome,
    PayloadFormat,
    answer_topic,
)
from thingmint.mqtt.codec.packets import Publish, Will

_JSON = {FORMAT: PayloadFormat.JSON.value}
_KEYS_TOPIC = CREATE_KEYS_AND_CERTIFICATE.topic(_JSON)
_CSR_TOPIC = CREATE_CERTIFICATE_FROM_CSR.topic(_JSON)
_GIVEN = ("certificateId", "certificatePem", "certificateOwnershipToken")
_THROTTLED = "Throttled"
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 4.0
_MOST_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Orders:
    """The instructions for all devices of a run. ``topic`` and ``parameters`` may have their placeholders."""

    target: Target
    claim: SSLContext = field(repr=False)
    template: str
    parameters: Mapping[str, str]
    topic: str = "{thing}/simulated"
    with_csr: bool = False
    will_topic: str | None = None
    """The topic of each device's will, with a placeholder for its name; None for no will."""


class SimulatedDevice(Failing):
    """One device. Its resources in the registry stay until the clean-up removes them."""

    def __init__(self, name: str, orders: Orders, measures: Measures) -> None:
        super().__init__(measures)
        self.name = name
        self.certificate_id: str | None = None
        self.thing_name: str | None = None
        self.former_ids: list[str] = []
        """The certificates that were renewed."""
        self.is_registered = False
        self._orders = orders
        self._identity: Identity | None = None
        self._context: SSLContext | None = None
        self._client: Client | None = None
        self._sent = 0

    async def begin(self) -> None:
        """Get an identity with the claim, reconnect with it, and exchange a message."""
        began = perf_counter()
        with self.lasting():
            private_key_pem, given = await self._claim()
            self._identity = identity = Identity(given["certificatePem"], private_key_pem)
            with self.step(Step.RECONNECT):
                self._context = identity.tls_context(self._orders.target)
                await self._connect(Step.RECONNECT)
            self._measures.record(Step.PROVISIONED, perf_counter() - began)
            await self._listen()
            await self._exchange()

    async def hold(self, until: float, interval: float | None, first_at: float) -> None:
        """Stay connected until this time of the loop's clock; publish at each interval if there is one."""
        loop = asyncio.get_running_loop()
        with self.lasting():
            next_at = until if interval is None else first_at
            while True:
                await self._wait_until(min(next_at, until))
                if interval is None or next_at >= until:
                    return
                await self._exchange()
                # Skip intervals that have passed meanwhile, as a real device's sensor does.
                while next_at <= loop.time():
                    next_at += interval

    async def renew(self, est: EstTarget) -> None:
        """Get a certificate for a new key by EST; the old one stays in use until then."""
        identity = self._identity
        assert identity is not None, "only devices that have begun well renew"
        with self.lasting(), self.step(Step.RENEW):
            request = new_renewal_request(identity)
            csr = x509.load_pem_x509_csr(request.csr_pem.encode()).public_bytes(serialization.Encoding.DER)
            for attempt in range(_MOST_ATTEMPTS):
                began = perf_counter()
                try:
                    # If the answer is lost, the same request returns the same certificate.
                    issued = await asyncio.to_thread(est.renewed, identity, csr)
                except EstBusy:
                    self._measures.throttled += 1
                    await asyncio.sleep(min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS))
                    continue
                self._take(issued, request.private_key_pem, perf_counter() - began)
                return
            raise BrokerRefused("EST is busy")

    def _take(self, issued: x509.Certificate, private_key_pem: str, seconds: float) -> None:
        assert self._identity is not None
        assert self.certificate_id is not None
        pem, certificate_id = pem_and_id(issued)
        self._measures.record(Step.RENEW, seconds)
        self._measures.renewals[issuer_of(self._identity.certificate_pem), issuer_of(pem)] += 1
        self.former_ids.append(self.certificate_id)
        self.certificate_id = certificate_id
        self._identity = Identity(pem, private_key_pem)
        self._context = self._identity.tls_context(self._orders.target)

    async def come_back(self) -> None:
        """Disconnect, and connect again with the same identity."""
        with self.lasting():
            await self.leave()
            await self._connect(Step.RETURN)
            await self._listen()
            await self._exchange()

    async def leave(self) -> None:
        """Disconnect, if there is a connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.disconnect()

    async def abort(self) -> None:
        """End the connection at once, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            await client.abort()

    # In storms

    @property
    def tag(self) -> bytes:
        """The payload of its messages in storms and of its will: its name."""
        return self.name.encode()

    async def hear(self, topic_filter: str, arrived: Callable[[Publish], None]) -> None:
        """Subscribe, and call ``arrived`` for every message."""
        with self.lasting(), self.step(Step.SUBSCRIBE):
            self._connected.arrived = arrived
            await self._connected.subscribe(topic_filter)

    async def say(self, topic: str, payload: bytes) -> None:
        """Publish, and measure the time until the acknowledgement."""
        with self.lasting(), self.step(Step.STORM_PUBACK), self._measures.timing(Step.STORM_PUBACK):
            await self._connected.publish(topic, payload)

    async def connect_again(self) -> None:
        """Connect with its identity, and subscribe; raise the errors of `Client.connect` and `Client.subscribe`."""
        assert self._context is not None
        self._client = await self._opened(self._context)
        await self._client.subscribe(self._topic)

    async def ended(self) -> None:
        """Wait until the connection has ended."""
        await asyncio.wait([self._connected.ended])

    # Steps

    async def _claim(self) -> tuple[str, dict[str, str]]:
        orders = self._orders
        with self.step(Step.CONNECT), self._measures.timing(Step.CONNECT):
            self._client = await Client.connect(orders.target, orders.claim, self.name)
        given, private_key_pem = await (self._ask_with_csr() if orders.with_csr else self._ask_for_keys())
        members = {
            "certificateOwnershipToken": given["certificateOwnershipToken"],
            "parameters": {name: value.replace("{device}", self.name) for name, value in orders.parameters.items()},
        }
        topic = REGISTER_THING.topic({TEMPLATE_NAME: orders.template, **_JSON})
        registered = await self._request(Step.REGISTER, topic, members)
        self.is_registered = True
        self.thing_name = registered.get("thingName") or None
        with self.step(Step.REGISTER):
            await self.leave()
        return private_key_pem, given

    async def _ask_for_keys(self) -> tuple[dict[str, str], str]:
        given = await self._request(Step.KEYS, _KEYS_TOPIC, {}, (*_GIVEN, "privateKey"))
        self.certificate_id = given["certificateId"]
        return given, given.pop("privateKey")

    async def _ask_with_csr(self) -> tuple[dict[str, str], str]:
        request = new_signing_request(self.name)
        members = {"certificateSigningRequest": request.csr_pem}
        given = await self._request(Step.CSR, _CSR_TOPIC, members, _GIVEN)
        self.certificate_id = given["certificateId"]
        return given, request.private_key_pem

    async def _request(
        self, step: Step, topic: str, members: Mapping[str, object], wanted: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Call the provisioning API, and repeat while it is busy; measure the attempt that returns ``wanted``."""
        accepted, rejected = (answer_topic(topic, outcome) for outcome in AnswerOutcome)
        with self.step(step):
            await self._connected.subscribe(accepted, rejected)
            for attempt in range(_MOST_ATTEMPTS):
                began = perf_counter()
                is_accepted, answer = await self._attempt(topic, members)
                if is_accepted:
                    if any(name not in answer for name in wanted):
                        raise ValueError("something is missing")
                    self._measures.record(step, perf_counter() - began)
                    return answer
                if answer.get("errorCode") != _THROTTLED:
                    break
                self._measures.throttled += 1
                await asyncio.sleep(min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS))
            raise BrokerRefused(answer.get("errorCode", "rejected"))

    async def _attempt(self, topic: str, members: Mapping[str, object]) -> tuple[bool, dict[str, Any]]:
        client = self._connected
        answers = [answer_topic(topic, outcome) for outcome in AnswerOutcome]
        answer = client.expect(lambda message: message.topic in answers)
        try:
            await client.publish(topic, json.dumps(members).encode())
            async with asyncio.timeout(ANSWER_SECONDS):
                message = await answer
        finally:
            answer.cancel()
        return message.topic == answers[0], msgspec.json.decode(message.payload, type=dict[str, Any])

    async def _connect(self, step: Step) -> None:
        assert self._context is not None
        with self.step(step), self._measures.timing(step):
            self._client = await self._opened(self._context)

    async def _opened(self, context: SSLContext) -> Client:
        will = None if self._orders.will_topic is None else Will(self._in_topic(self._orders.will_topic), self.tag)
        return await Client.connect(self._orders.target, context, self.thing_name or self.name, will)

    async def _listen(self) -> None:
        with self.step(Step.SUBSCRIBE):
            await self._connected.subscribe(self._topic)

    async def _exchange(self) -> None:
        """Publish, and wait for the acknowledgement and for the message itself."""
        self._sent += 1
        payload = json.dumps({"device": self.name, "message": self._sent}).encode()
        client = self._connected
        back = client.expect(lambda message: message.payload == payload)
        began = perf_counter()
        try:
            with self.step(Step.PUBACK), self._measures.timing(Step.PUBACK):
                await client.publish(self._topic, payload)
            with self.step(Step.ROUND_TRIP):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await back
                self._measures.record(Step.ROUND_TRIP, perf_counter() - began)
        finally:
            back.cancel()

    async def _wait_until(self, moment: float) -> None:
        client = self._connected
        with self.step(Step.HOLD):
            delay = moment - asyncio.get_running_loop().time()
            await asyncio.wait([client.ended], timeout=max(0.0, delay))
            if client.ended.done():
                raise ConnectionLost(client.why_lost)

    @property
    def _topic(self) -> str:
        return self._in_topic(self._orders.topic)

    def _in_topic(self, topic: str) -> str:
        return topic.replace("{thing}", self.thing_name or self.name).replace("{device}", self.name)

    @property
    def _connected(self) -> Client:
        assert self._client is not None
        return self._client
