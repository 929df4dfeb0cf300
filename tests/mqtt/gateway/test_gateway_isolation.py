"""An answer to a provisioning request, which may hold a private key, reaches the connection that asked and no other.

Claim certificates are shared by a fleet: neither certificate nor client id tells devices apart, only the connection.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.devices.device_gateway import CREATE, PRIVATE_KEY, LiveGateway, live_gateway, policy
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer, peer

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.policies.language import Policy, parse_policy
from thingmint.mqtt.codec.packets import Disconnect, ProtocolVersion, Puback, Publish, QoS
from thingmint.mqtt.codec.properties import ConnectProperties, PublishProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.data_plane import GATEWAY_PACKET_IDS
from thingmint.mqtt.events import ActionRefused
from thingmint.mqtt.transport.limits import GatewayLimits

ACCEPTED, REJECTED = f"{CREATE}/accepted", f"{CREATE}/rejected"
REQUESTS = [
    "$aws/certificates/create/json",
    "$aws/certificates/create/cbor",
    "$aws/certificates/create-from-csr/json",
    "$aws/certificates/create-from-csr/cbor",
    "$aws/provisioning-templates/fleet/provision/json",
    "$aws/provisioning-templates/fleet/provision/cbor",
]
NOT_SERVED = [
    "$aws/certificates/create/xml",
    "$aws/certificates/create/json/",
    "$aws/certificates/Create/json",
    "$aws/certificates/create",
    "$aws/provisioning-templates//provision/json",
    "$aws/provisioning-templates/a/b/provision/json",
    "$SYS/broker",
    "$share/group/a",
]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path) as running:
        yield running


@pytest.fixture
def claim(live: LiveGateway) -> Identity:
    return live.register()


def hold_answers(live: LiveGateway) -> asyncio.Event:
    """Make requests wait until the event is set."""

    def hold() -> asyncio.Event:
        live.fleet.gate = asyncio.Event()
        return live.fleet.gate

    return live.thread.call(hold)


def release(live: LiveGateway, gate: asyncio.Event) -> None:
    live.thread.call(gate.set)


def key_in(message: Publish) -> str:
    return str(json.loads(message.payload)["privateKey"])


# To whom


@pytest.mark.parametrize("topic", REQUESTS)
def test_each_operation_is_answered(live: LiveGateway, claim: Identity, version: ProtocolVersion, topic: str) -> None:
    with connected_peer(live, claim, version) as device:
        assert device.publish(topic, b"{}") is ReasonCode.SUCCESS
        answer = device.expect(Publish)

    assert answer.topic == f"{topic}/accepted"
    assert (answer.retain, answer.dup) == (False, False)
    requester, requested, payload = live.fleet.requests[0]
    assert (requester.client_id, requester.source_address) == ("device", "127.0.0.1")
    assert requester.device.principal_id == claim.certificate_id
    assert (requested, payload) == (topic, b"{}")


def test_acknowledgement_comes_before_the_answer_and_after_no_wait(live: LiveGateway, claim: Identity) -> None:
    gate = hold_answers(live)
    with connected_peer(live, claim) as device:
        device.send(Publish(CREATE, b"", QoS.AT_LEAST_ONCE, packet_id=9))
        assert device.expect(Puback).packet_id == 9
        assert device.is_served()
        release(live, gate)
        assert device.expect(Publish).topic == ACCEPTED


def test_request_of_qos_0_is_answered_without_acknowledgement(live: LiveGateway, claim: Identity) -> None:
    with connected_peer(live, claim) as device:
        device.send(Publish(CREATE, b""))
        assert device.expect(Publish).topic == ACCEPTED


def test_nobody_else_hears_of_an_answer(live: LiveGateway, claim: Identity, version: ProtocolVersion) -> None:
    filters = ("#", "+/#", "$aws/#", ACCEPTED, f"{CREATE}/+", "$aws/+/+/+/+")
    with (
        connected_peer(live, claim, version, "eavesdropper") as eavesdropper,
        connected_peer(live, claim, version, "device") as device,
    ):
        assert all(not code.is_failure for code in eavesdropper.subscribe(*filters))
        device.subscribe(ACCEPTED)
        device.publish(CREATE, b"{}")
        assert key_in(device.expect(Publish)) == PRIVATE_KEY
        assert eavesdropper.is_served()


def test_nobody_else_hears_of_a_request(live: LiveGateway, claim: Identity, version: ProtocolVersion) -> None:
    with (
        connected_peer(live, claim, version, "eavesdropper") as eavesdropper,
        connected_peer(live, claim, version, "device") as device,
    ):
        eavesdropper.subscribe("#", "$aws/#")
        device.publish("$aws/provisioning-templates/fleet/provision/json", b'{"certificateOwnershipToken": "t"}')
        device.expect(Publish)
        assert eavesdropper.is_served()


def test_each_connection_gets_its_own_answer(live: LiveGateway, claim: Identity) -> None:
    gate = hold_answers(live)
    with connected_peer(live, claim, V3, "one") as one, connected_peer(live, claim, V5, "two") as two:
        for device in (one, two):
            device.subscribe(ACCEPTED)
            device.publish(CREATE, b"{}")
        release(live, gate)
        answers = [json.loads(device.expect(Publish).payload)["certificateId"] for device in (one, two)]
        assert answers == ["one", "two"]
        assert one.is_served()
        assert two.is_served()


def test_connection_that_has_not_subscribed_gets_its_answer_too(live: LiveGateway, claim: Identity) -> None:
    with connected_peer(live, claim) as device:
        device.publish(CREATE, b"{}")
        answer = device.expect(Publish)
        assert (answer.topic, answer.qos) == (ACCEPTED, QoS.AT_MOST_ONCE)


def test_device_that_finds_its_session_and_does_not_subscribe_again_gets_its_answers(
    live: LiveGateway, claim: Identity, version: ProtocolVersion
) -> None:
    lasting: dict[str, Any] = {"clean_start": False, "properties": ConnectProperties(session_expiry_interval=3600)}
    with connected_peer(live, claim, version, "same", **lasting) as first:
        first.subscribe(ACCEPTED, REJECTED)
    with peer(live, claim, version) as second:
        assert second.connect("same", **lasting).session_present
        second.publish(CREATE, b"{}")
        answer = second.expect(Publish)
        assert (answer.topic, answer.qos) == (ACCEPTED, QoS.AT_MOST_ONCE)
        live.fleet.failures.append(ServiceUnavailable())
        second.publish(CREATE, b"{}")
        assert second.expect(Publish).topic == REJECTED


@pytest.mark.parametrize("topic_filter", [ACCEPTED, f"{CREATE}/+", "$aws/#", "$aws/certificates/#"])
@pytest.mark.parametrize("qos", [QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE])
def test_answer_has_the_qos_of_the_subscription(
    live: LiveGateway, claim: Identity, topic_filter: str, qos: QoS
) -> None:
    with connected_peer(live, claim) as device:
        device.subscribe(topic_filter, qos=qos)
        device.publish(CREATE, b"{}")
        answer = device.expect(Publish)
        assert answer.qos is qos
        assert (answer.packet_id in GATEWAY_PACKET_IDS) is (qos is QoS.AT_LEAST_ONCE)
        if qos:
            device.send(Puback(answer.packet_id))
        assert device.is_served()


# Not later


def test_answer_is_not_kept_for_the_next_connection_of_the_session(
    live: LiveGateway, claim: Identity, version: ProtocolVersion
) -> None:
    lasting: dict[str, Any] = {"clean_start": False, "properties": ConnectProperties(session_expiry_interval=3600)}
    with connected_peer(live, claim, version, "same", **lasting) as first:
        first.subscribe(ACCEPTED, "a")
        first.publish(CREATE, b"{}")
        unacknowledged = first.expect(Publish)
        assert unacknowledged.qos is QoS.AT_LEAST_ONCE
    with peer(live, claim, version) as second:
        assert second.connect("same", **lasting).session_present
        assert second.is_served()
        # Not even where the new connection acknowledges the old one's packet.
        second.send(Puback(unacknowledged.packet_id))
        assert second.is_served()
        second.publish("a", b"the session itself is there")
        assert second.expect(Publish).topic == "a"


def test_answer_is_dropped_with_the_connection_that_asked(
    live: LiveGateway, claim: Identity, version: ProtocolVersion
) -> None:
    gate = hold_answers(live)
    lasting: dict[str, Any] = {"clean_start": False, "properties": ConnectProperties(session_expiry_interval=3600)}
    with connected_peer(live, claim, version, "same", **lasting) as first:
        first.subscribe(ACCEPTED)
        first.publish(CREATE, b"{}")
    live.wait_until(lambda: live.gateway.connected_devices == 0)
    with connected_peer(live, claim, version, "same", **lasting) as second:
        second.subscribe(ACCEPTED)
        release(live, gate)
        live.wait_until(lambda: len(live.gateway._provisioning) == 0)
        assert second.is_served()


def test_answer_is_dropped_if_another_connection_has_taken_over(
    live: LiveGateway, claim: Identity, version: ProtocolVersion
) -> None:
    gate = hold_answers(live)
    with connected_peer(live, claim, version, "same") as first:
        first.subscribe(ACCEPTED)
        first.publish(CREATE, b"{}")
        with connected_peer(live, claim, version, "same") as second:
            second.subscribe(ACCEPTED)
            release(live, gate)
            live.wait_until(lambda: len(live.gateway._provisioning) == 0)
            assert second.is_served()
            heard = first.next_packet()
            assert heard is None or isinstance(heard, Disconnect)


# Not shared, not forged, not retained


@pytest.mark.parametrize("topic_filter", [f"$share/group/{ACCEPTED}", "$share/group/$aws/#"])
def test_reserved_topics_cannot_be_shared(live: LiveGateway, claim: Identity, topic_filter: str) -> None:
    with connected_peer(live, claim, V5) as device:
        assert device.subscribe(topic_filter) == (ReasonCode.TOPIC_FILTER_INVALID,)
    with connected_peer(live, claim, V3) as device:
        assert device.subscribe(topic_filter) == (ReasonCode.UNSPECIFIED_ERROR,)


@pytest.mark.parametrize(
    "topic_filter", ["$aws/things/+/shadow/#", "$aws/certificates/create/json", "$SYS/#", "$aws", "$aws/#/x"]
)
def test_filter_that_no_answer_could_match_is_refused(live: LiveGateway, claim: Identity, topic_filter: str) -> None:
    with connected_peer(live, claim, V5) as device:
        assert device.subscribe(topic_filter) == (ReasonCode.TOPIC_FILTER_INVALID,)


def ends_with(device: Peer, version: ProtocolVersion, code: ReasonCode) -> bool:
    packet = device.next_packet()
    if version is V3:
        return packet is None
    return isinstance(packet, Disconnect) and packet.reason_code is code and device.is_closed()


@pytest.mark.parametrize("topic", [ACCEPTED, REJECTED, *NOT_SERVED])
def test_message_that_would_be_a_forged_answer_or_is_not_served_is_refused(
    live: LiveGateway, claim: Identity, version: ProtocolVersion, topic: str
) -> None:
    with connected_peer(live, claim, V3, "victim") as victim:
        victim.subscribe("#", "$aws/#")
        with connected_peer(live, claim, version) as device:
            device.send(Publish(topic, b"{}"))
            assert ends_with(device, version, ReasonCode.TOPIC_NAME_INVALID)
        with connected_peer(live, claim, V5) as device:
            assert device.publish(topic, b"{}") is ReasonCode.TOPIC_NAME_INVALID
        assert victim.is_served()
    assert live.fleet.requests == []


def test_topic_alias_leads_to_reserved_topics_no_other_way(live: LiveGateway, claim: Identity) -> None:
    alias = PublishProperties(topic_alias=1)
    with connected_peer(live, claim, V5) as device:
        assert device.publish(ACCEPTED, b"{}", properties=alias) is ReasonCode.TOPIC_NAME_INVALID
        assert device.publish("", b"{}", properties=alias) is ReasonCode.TOPIC_NAME_INVALID


def test_request_must_not_be_retained(live: LiveGateway, claim: Identity, version: ProtocolVersion) -> None:
    with connected_peer(live, claim, version) as device:
        device.send(Publish(CREATE, b"{}", retain=True))
        assert ends_with(device, version, ReasonCode.TOPIC_NAME_INVALID)
    assert live.fleet.requests == []


def test_request_needs_the_permission_to_publish(live: LiveGateway, version: ProtocolVersion) -> None:
    create = "topic/$aws/certificates/create/*"
    claim = live.register(allowed=policy(("iot:Connect", "*"), ("iot:Publish", create), ("iot:Receive", create)))
    with connected_peer(live, claim, version) as device:
        device.publish(CREATE, b"{}")
        device.expect(Publish)
        device.send(Publish("$aws/certificates/create-from-csr/json", b"{}"))
        assert ends_with(device, version, ReasonCode.NOT_AUTHORIZED)
    assert len(live.fleet.requests) == 1


# AWS's developer guide asks claims for iot:Receive on these topics.
RECEIVES = (("iot:Connect", "*"), ("iot:Publish", "topic/$aws/*"))


@pytest.mark.parametrize(
    "allowed",
    [
        policy(*RECEIVES),
        policy(*RECEIVES, ("iot:Receive", f"topic/{REJECTED}")),
        policy(*RECEIVES, ("iot:Receive", f"topicfilter/{ACCEPTED}"), ("iot:Subscribe", "*")),
        parse_policy(
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},'
            '{"Effect":"Deny","Action":["iot:Receive","iot:Subscribe"],"Resource":"*"}]}'
        ),
    ],
    ids=["nothing", "rejections only", "filters only", "denied"],
)
def test_an_answer_needs_the_permission_to_receive_it(
    live: LiveGateway, version: ProtocolVersion, allowed: Policy
) -> None:
    claim = live.register(allowed=allowed)
    with connected_peer(live, claim, version) as device:
        assert device.publish(CREATE, b"{}") is ReasonCode.SUCCESS
        live.wait_until(lambda: len(live.gateway._provisioning) == 0)
        assert device.is_served()
    (refused,) = [event.refused for event in live.events.all if isinstance(event, ActionRefused)]
    assert (refused.action, refused.resource) == ("iot:Receive", f"topic/{ACCEPTED}")


CREATES, PROVISIONS = "$aws/certificates/create/*", "$aws/provisioning-templates/fleet/provision/*"
# What the developer guide's page on provisioning by claim shows, and the README files of AWS's device SDKs.
PUBLISHED = [
    policy(
        ("iot:Connect", "*"),
        *((action, f"topic/{topics}") for action in ("iot:Publish", "iot:Receive") for topics in (CREATES, PROVISIONS)),
        *(("iot:Subscribe", f"topicfilter/{topics}") for topics in (CREATES, PROVISIONS)),
    ),
    policy(
        ("iot:Connect", "client/*"),
        *(
            (action, f"topic/{topics}")
            for action in ("iot:Publish", "iot:Receive")
            for topics in (CREATES, "$aws/certificates/create-from-csr/*", PROVISIONS)
        ),
        *(
            ("iot:Subscribe", f"topicfilter/{topics}")
            for topics in (CREATES, "$aws/certificates/create-from-csr/*", PROVISIONS)
        ),
    ),
]


@pytest.mark.parametrize("allowed", PUBLISHED, ids=["guide", "SDKs"])
@pytest.mark.parametrize("topic", ["$aws/certificates/create/json", "$aws/provisioning-templates/fleet/provision/json"])
def test_claims_with_published_policies_are_answered(
    live: LiveGateway, version: ProtocolVersion, allowed: Policy, topic: str
) -> None:
    with connected_peer(live, live.register(allowed=allowed), version) as device:
        codes = device.subscribe(f"{topic}/accepted", f"{topic}/rejected")
        assert not any(code.is_failure for code in codes)
        device.publish(topic, b"{}")
        assert device.expect(Publish).topic == f"{topic}/accepted"


def test_a_rejection_needs_the_permission_to_receive_it(live: LiveGateway, version: ProtocolVersion) -> None:
    live.fleet.failures.append(RuntimeError("no key today"))
    claim = live.register(allowed=policy(*RECEIVES, ("iot:Receive", f"topic/{ACCEPTED}")))
    with connected_peer(live, claim, version) as device:
        assert device.publish(CREATE, b"{}") is ReasonCode.SUCCESS
        live.wait_until(lambda: len(live.gateway._provisioning) == 0)
        assert device.is_served()


def test_subscription_to_answers_needs_its_permission(live: LiveGateway) -> None:
    claim = live.register(allowed=policy(("iot:Connect", "*"), ("iot:Subscribe", f"topicfilter/{ACCEPTED}")))
    with connected_peer(live, claim, V5) as device:
        assert device.subscribe(ACCEPTED, REJECTED) == (ReasonCode.GRANTED_QOS_1, ReasonCode.NOT_AUTHORIZED)


# Not in words


def test_keys_are_in_no_log(live: LiveGateway, claim: Identity, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with connected_peer(live, claim) as device:
        device.subscribe(ACCEPTED)
        device.publish(CREATE, b"{}")
        answer = device.expect(Publish)

    assert PRIVATE_KEY not in caplog.text
    assert "PRIVATE KEY" not in repr(answer)
    assert "PRIVATE KEY" not in str(live.events.all)


# Within bounds


def test_fault_of_the_service_is_an_answer_too(
    live: LiveGateway, claim: Identity, version: ProtocolVersion, caplog: pytest.LogCaptureFixture
) -> None:
    live.fleet.failures.append(ArithmeticError("on purpose"))
    with connected_peer(live, claim, version) as device:
        device.publish(CREATE, b"{}")
        answer = device.expect(Publish)
        assert answer.topic == REJECTED
        assert json.loads(answer.payload)["errorMessage"] == ServiceUnavailable().message
        assert device.is_served()
    assert "a provisioning request failed" in caplog.text


def test_impatient_connection_is_turned_away_at_once(live: LiveGateway, claim: Identity) -> None:
    gate = hold_answers(live)
    with connected_peer(live, claim) as impatient, connected_peer(live, claim, V5, "other") as other:
        for _ in range(4):
            impatient.publish(CREATE, b"{}")
        impatient.publish(CREATE, b"{}")
        assert impatient.expect(Publish).topic == REJECTED
        other.publish(CREATE, b"{}")
        release(live, gate)
        assert other.expect(Publish).topic == ACCEPTED
        assert [impatient.expect(Publish).topic for _ in range(4)] == [ACCEPTED] * 4
        impatient.publish(CREATE, b"{}")
        assert impatient.expect(Publish).topic == ACCEPTED
    assert len(live.fleet.requests) == 6


def test_gateway_takes_so_many_requests_and_no_more(tmp_path: Path) -> None:
    with live_gateway(tmp_path, limits=GatewayLimits(max_provisioning=2)) as live:
        claim, gate = live.register(), hold_answers(live)
        with connected_peer(live, claim, V3, "1") as one, connected_peer(live, claim, V3, "2") as two:
            for device in (one, two):
                device.publish(CREATE, b"{}")
            with connected_peer(live, claim, V3, "3") as three:
                three.publish(CREATE, b"{}")
                assert three.expect(Publish).topic == REJECTED
            release(live, gate)
            assert [device.expect(Publish).topic for device in (one, two)] == [ACCEPTED] * 2


def test_answers_respect_receive_maximum(live: LiveGateway, claim: Identity) -> None:
    with connected_peer(live, claim, V5, properties=ConnectProperties(receive_maximum=2)) as device:
        device.subscribe(ACCEPTED, "a")
        first, second, third = (ask(device) for _ in range(3))
        assert [first.qos, second.qos, third.qos] == [QoS.AT_LEAST_ONCE, QoS.AT_LEAST_ONCE, QoS.AT_MOST_ONCE]
        device.publish("a", b"must wait")
        assert device.is_served()
        device.send(Puback(first.packet_id))
        assert device.expect(Publish).topic == "a"
        device.send(Puback(second.packet_id))
        assert ask(device).qos is QoS.AT_LEAST_ONCE


def ask(device: Peer) -> Publish:
    device.publish(CREATE, b"{}")
    return device.expect(Publish)


def test_answer_that_the_client_cannot_take_is_dropped(
    live: LiveGateway, claim: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    live.fleet.answer_bytes = 2000
    with connected_peer(live, claim, V5, properties=ConnectProperties(maximum_packet_size=1000)) as device:
        device.publish(CREATE, b"{}")
        assert device.is_served()
    assert "larger than its client takes" in caplog.text


def test_messages_and_answers_share_packet_ids_without_confusion(live: LiveGateway, claim: Identity) -> None:
    with connected_peer(live, claim, V5) as device:
        device.subscribe(ACCEPTED, "a")
        device.publish(CREATE, b"{}")
        device.publish("a", b"1")
        answer, message = device.expect(Publish), device.expect(Publish)
        ids = {packet.packet_id for packet in (answer, message)}
        assert len(ids) == 2
        for packet_id in ids:
            device.send(Puback(packet_id))
        assert device.is_served()
        device.publish("a", b"2")
        assert device.expect(Publish).payload == b"2"
