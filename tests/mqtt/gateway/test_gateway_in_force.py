"""TestAuthorization decides as the gateway does: made-up registries, asked both ways, on a running gateway."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_edge import new_data_plane
from tests.support.devices.device_gateway import LiveGateway, SystemClock, live_gateway
from tests.support.devices.device_identities import Identity, new_identity
from tests.support.devices.mqtt_peer import V5, connected_peer, peer
from tests.support.machine.soak import examples
from tests.support.registration.api import Api, build_router
from tests.support.registration.authority import ACCOUNT, REGION, new_authority
from tests.support.registration.memberships import Memberships, store_memberships
from tests.support.registration.policies import document

from thingmint.core.identifiers import Scope, ThingName
from thingmint.core.principals import Watched
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.core.topics.names import matches, parse_filter, received_as
from thingmint.mqtt.codec.packets import Pingreq, Pingresp, Publish
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.edges.registered_devices import RegisteredDevices
from thingmint.mqtt.rights.ports import Device, HandshakeSigner
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry.thing_principals import Attachment
from thingmint.records.steps import Steps
from thingmint.registration.kernel.change_watch import ChangeWatch

SCOPE = Scope(ACCOUNT, REGION)
ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
HOUSE, LAMPS, PUMPS = ("House",), ("House", "Lamps"), ("Pumps",)
GROUPS = (HOUSE, LAMPS, PUMPS)
THINGS = ("lamp", "pump", "radio")
CLIENTS = (*THINGS, "nobody", "LAMP", "*", "a/b", "+")
TOPICS = ("lamp", "pump", "open", "a/b")
FILTERS = ("lamp", "pump", "a/+", "a/b", "$share/g/lamp", "$share/h/lamp", "$share/g/a/b", "$share/g/a/+")
OWN = "own"
SHARED_FILTERS, SHARED_TOPICS = ARN + "topicfilter/$share/*", ARN + "topic/$share/*"
PLAIN_FILTER, PLAIN_TOPIC = ARN + "topicfilter/lamp", ARN + "topic/lamp"
Asked: TypeAlias = tuple[str, str]
RESOURCES = (
    "*",
    ARN + "client/*",
    ARN + "client/${iot:Connection.Thing.ThingName}",
    ARN + "client/${iot:ClientId}",
    ARN + "topic/*",
    ARN + "topic/lamp",
    ARN + "topic/${iot:Connection.Thing.ThingName}",
    ARN + "topic/$share/g/*",
    ARN + "topicfilter/*",
    ARN + "topicfilter/lamp",
    ARN + "topicfilter/$share/g/*",
    ARN + "topicfilter/$share/*/lamp",
)
ACTIONS = ("iot:*", "iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive")
CONDITIONS = (None, {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}, {"StringLike": {"iot:ClientId": "l*"}})


@dataclass(frozen=True)
class Said:
    """One statement of a policy, and what the policy is attached to: the certificate or a group."""

    target: str
    effect: str
    action: str
    resource: str
    condition: dict[str, Any] | None = None


@dataclass(frozen=True)
class World:
    """A registry around one certificate, and the client that connects with it."""

    client_id: str
    attached: frozenset[str]
    is_exclusive: bool
    members: frozenset[tuple[str, tuple[str, ...]]]
    said: tuple[Said, ...]


statements = st.builds(
    Said,
    st.sampled_from([OWN, *(path[-1] for path in GROUPS)]),
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.sampled_from(ACTIONS),
    st.sampled_from(RESOURCES),
    st.sampled_from(CONDITIONS),
)
# Most clients are let in: what they may do is the larger question.
LET_IN, ALL = Said(OWN, "Allow", "iot:Connect", "*"), Said(OWN, "Allow", "iot:*", "*")
SUBSCRIBES = (LET_IN, Said(OWN, "Allow", "iot:Subscribe", "*"))
OF_HOUSE, DENIED_TO_HOUSE = Said("House", "Allow", "iot:*", "*"), Said("House", "Deny", "iot:Publish", "*")
worlds = st.builds(
    World,
    st.sampled_from(CLIENTS),
    st.frozensets(st.sampled_from(THINGS)),
    st.booleans(),
    st.frozensets(st.tuples(st.sampled_from(THINGS), st.sampled_from(GROUPS))),
    st.one_of(
        st.lists(statements, max_size=6).map(tuple),
        st.lists(statements, max_size=6).map(lambda some: (LET_IN, *some)),
    ),
)


class Registry:
    """The registry of one world; another world has another."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        authority = structs.replace(new_authority(self.store), clock=SystemClock())
        self.api = Api(build_router(authority, "devices.example", new_data_plane()), self.store)
        watch: ChangeWatch[Watched] = ChangeWatch(self.store)
        self.devices = RegisteredDevices(authority, SCOPE, watch, self)

    async def connected(self, registration: object, source_address: str) -> None:
        raise AssertionError("nothing is registered here by connecting")

    async def fill(self, device: Identity, source: Identity, world: World) -> None:
        for identity in (device, source):
            pem = identity.certificate.public_bytes(Encoding.PEM).decode()
            await self.call("POST", "/certificate/register-no-ca", certificatePem=pem, status="ACTIVE")
        await store_memberships(self.store, SCOPE, Memberships(GROUPS, THINGS, tuple(world.members)))
        # One thing alone can be attached exclusively.
        is_exclusive = world.is_exclusive and len(world.attached) == 1
        kind = ThingPrincipalType.EXCLUSIVE_THING if is_exclusive else ThingPrincipalType.NON_EXCLUSIVE_THING
        for thing in sorted(world.attached):
            await self.store.write(partial(attached, Attachment(ThingName(thing), arn_of(device), kind)))
        for number, said in enumerate(world.said):
            target = arn_of(device) if said.target == OWN else f"{ARN}thinggroup/{said.target}"
            await self.attach(f"p{number}", text_of(said), target)
        await self.attach("source", text_of(ALL), arn_of(source))

    async def attach(self, name: str, text: str, target: str) -> None:
        await self.call("POST", f"/policies/{name}", policyDocument=text)
        await self.call("PUT", f"/target-policies/{name}", target=target)

    async def call(self, method: str, path: str, **members: object) -> Any:
        return await self.api.call(method, path, json.dumps(members).encode())

    async def decisions(self, identity: Identity, client_id: str, asked: Sequence[Asked]) -> list[bool]:
        """Return what TestAuthorization says, which takes ten questions at once."""
        path = "/test-authorization?clientId=" + quote(client_id, safe="")
        decided = []
        for start in range(0, len(asked), 10):
            infos = [{"actionType": action, "resources": [ARN + name]} for action, name in asked[start : start + 10]]
            answer = await self.call("POST", path, principal=arn_of(identity), authInfos=infos)
            decided += [result["authDecision"] == "ALLOWED" for result in answer["authResults"]]
        return decided


def arn_of(identity: Identity) -> str:
    return f"{ARN}cert/{identity.certificate_id}"


def attached(attachment: Attachment) -> Steps[bool]:
    return thing_principal_table.attach_principal(SCOPE, attachment)


def text_of(said: Said) -> str:
    condition = {} if said.condition is None else {"Condition": said.condition}
    return document({"Effect": said.effect, "Action": said.action, "Resource": said.resource, **condition})


@dataclass
class Standing:
    """What the gateway takes for its registry: that of the world that is tried now."""

    registry: Registry | None = None

    async def identify(self, chain: Sequence[bytes], server_name: str | None, source_address: str) -> Device:
        assert self.registry is not None
        return await self.registry.devices.identify(chain, server_name, source_address)

    async def identify_signer(self, signer: HandshakeSigner, source_address: str) -> Device:
        assert self.registry is not None
        return await self.registry.devices.identify_signer(signer, source_address)


@dataclass(frozen=True, repr=False)
class Stage:
    """A running gateway, a device that is bound by the world's policies, and a source that may do everything."""

    live: LiveGateway
    standing: Standing
    device: Identity
    source: Identity

    def set_up(self, world: World) -> Registry:
        self.standing.registry = registry = Registry()
        self.live.thread.run(registry.fill(self.device, self.source, world))
        return registry

    def done_by(self, world: World) -> dict[Asked, bool]:
        """Return what the device is allowed, found out by doing it; if it is not let in, nothing else is known."""
        asked: Asked = "CONNECT", f"client/{world.client_id}"
        with peer(self.live, self.device, V5) as opened:
            if opened.connect(world.client_id).reason_code is not ReasonCode.SUCCESS:
                return {asked: False}
        found = {asked: True}
        with connected_peer(self.live, self.device, V5, world.client_id) as device:
            for topic in TOPICS:
                found["PUBLISH", f"topic/{topic}"] = device.publish(topic) is not ReasonCode.NOT_AUTHORIZED
            for topic_filter, code in zip(FILTERS, device.subscribe(*FILTERS), strict=True):
                found["SUBSCRIBE", f"topicfilter/{topic_filter}"] = code is not ReasonCode.NOT_AUTHORIZED
        return found

    def heard_through(self, client_id: str, topic_filter: str) -> set[str]:
        """Return the topics of the messages that reach the device through a filter that it may subscribe to."""
        with (
            connected_peer(self.live, self.device, V5, client_id) as device,
            connected_peer(self.live, self.source, V5, "source") as source,
        ):
            assert device.subscribe(topic_filter) == (ReasonCode.GRANTED_QOS_1,)
            for topic in TOPICS:
                source.publish(topic)
            device.send(Pingreq())
            heard = itertools.takewhile(lambda packet: not isinstance(packet, Pingresp), iter(device.next_packet, None))
            return {packet.topic for packet in heard if isinstance(packet, Publish)}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    standing = Standing()
    with live_gateway(tmp_path_factory.mktemp("gateway"), registry=standing) as live:
        yield Stage(live, standing, new_identity("device"), new_identity("source"))


@given(world=worlds)
@example(
    World("nobody", frozenset({"lamp"}), False, frozenset({("lamp", LAMPS)}), (Said("House", "Allow", "iot:*", "*"),))
)
@example(
    World("nobody", frozenset({"lamp"}), True, frozenset({("lamp", LAMPS)}), (Said("House", "Allow", "iot:*", "*"),))
)
@example(World("nobody", frozenset(), False, frozenset(), (ALL, Said(OWN, "Deny", "iot:Subscribe", SHARED_FILTERS))))
@example(World("nobody", frozenset(), False, frozenset(), (LET_IN, Said(OWN, "Allow", "iot:*", SHARED_FILTERS))))
@example(World("nobody", frozenset(), False, frozenset(), (LET_IN, Said(OWN, "Allow", "iot:*", PLAIN_FILTER))))
@example(World("nobody", frozenset(), False, frozenset(), (ALL, Said(OWN, "Deny", "iot:Subscribe", PLAIN_FILTER))))
@example(World("lamp", frozenset({"pump"}), True, frozenset({("pump", LAMPS)}), (LET_IN, OF_HOUSE)))
@example(World("lamp", frozenset(THINGS), False, frozenset({("lamp", LAMPS)}), (LET_IN, OF_HOUSE)))
@example(World("radio", frozenset(THINGS), False, frozenset({("lamp", LAMPS)}), (ALL, DENIED_TO_HOUSE)))
@settings(max_examples=examples(20, 150))
def test_the_simulation_decides_as_the_gateway_does(stage: Stage, world: World) -> None:
    registry = stage.set_up(world)

    done = stage.done_by(world)

    asked = list(done)
    said = stage.live.thread.run(registry.decisions(stage.device, world.client_id, asked))
    assert dict(zip(asked, said, strict=True)) == done


@given(world=worlds, topic_filter=st.sampled_from(FILTERS))
@example(World("nobody", frozenset(), False, frozenset(), (LET_IN, Said(OWN, "Allow", "iot:*", "*"))), "$share/g/lamp")
@example(
    World("x", frozenset(), False, frozenset(), (ALL, Said(OWN, "Deny", "iot:Receive", SHARED_TOPICS))), "$share/g/lamp"
)
@example(
    World("x", frozenset(), False, frozenset(), (*SUBSCRIBES, Said(OWN, "Allow", "iot:Receive", SHARED_TOPICS))),
    "$share/g/lamp",
)
@example(
    World("x", frozenset(), False, frozenset(), (*SUBSCRIBES, Said(OWN, "Allow", "iot:Receive", SHARED_TOPICS))), "lamp"
)
@example(
    World("x", frozenset(), False, frozenset(), (*SUBSCRIBES, Said(OWN, "Allow", "iot:Receive", PLAIN_TOPIC))),
    "$share/g/lamp",
)
@example(
    World("x", frozenset(), False, frozenset(), (ALL, Said(OWN, "Deny", "iot:Receive", PLAIN_TOPIC))), "$share/g/lamp"
)
@settings(max_examples=examples(20, 150))
def test_messages_reach_a_device_as_the_simulation_says(stage: Stage, world: World, topic_filter: str) -> None:
    world = replace(
        world,
        said=(*SUBSCRIBES, *(said for said in world.said if said.action == "iot:Receive" or said.effect == "Allow")),
    )
    registry, parsed = stage.set_up(world), parse_filter(topic_filter)
    if not all(
        stage.live.thread.run(
            registry.decisions(
                stage.device,
                world.client_id,
                [
                    ("CONNECT", f"client/{world.client_id}"),
                    ("SUBSCRIBE", f"topicfilter/{topic_filter}"),
                ],
            )
        )
    ):
        return

    heard = stage.heard_through(world.client_id, topic_filter)

    matching = [topic for topic in TOPICS if matches(parsed.pattern, topic)]
    asked = [("RECEIVE", f"topic/{received_as(topic, parsed.group)}") for topic in matching]
    said = stage.live.thread.run(registry.decisions(stage.device, world.client_id, asked))
    assert heard == {topic for topic, is_allowed in zip(matching, said, strict=True) if is_allowed}
