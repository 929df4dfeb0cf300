"""Two accounts of one running service, each with its own devices and operators, which know nothing of each other."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from tests.support.brokers.mosquitto import mosquitto
from tests.support.clients.aws import ClientOf, IoT, Live, allow, policy, refusal_of
from tests.support.devices.device_identities import Identity, new_identity
from tests.support.devices.live_devices import (
    EVERYTHING,
    GENEROUS,
    MQTT_3,
    MQTT_5,
    Credentials,
    Device,
    device,
    is_admitted,
    new_credentials,
    unique,
)
from tests.support.services.service import running_service

OTHER = "777777777777"
VERSIONS = pytest.mark.parametrize("version", [MQTT_3, MQTT_5], ids=["3.1.1", "5"])


@dataclass
class Account:
    """An account's operator, and its devices, which may do everything."""

    live: Live
    iot: IoT
    data: IoT
    folder: Path
    devices: ExitStack
    credentials: Credentials

    def connect(self, client_id: str, *filters: str, version: MQTTProtocolVersion = MQTT_5, **options: Any) -> Device:
        opened = self.devices.enter_context(
            device(self.live, self.credentials, self.folder, client_id, version, **options)
        )
        for topic_filter in filters:
            assert opened.subscribe(topic_filter)
        return opened

    def publish(self, topic: str, payload: bytes = b"", **options: Any) -> None:
        self.data.publish(topic=topic, qos=1, payload=payload, **options)

    def hears_only_its_own(self, listener: Device, topic: str, payload: bytes = b"its own") -> None:
        """Publish something, and fail if the listener has heard anything before."""
        self.publish(topic, payload)
        heard = listener.hear()
        assert (heard.topic, heard.payload) == (topic, payload)


@pytest.fixture
def accounts(live: Live, iot: IoT, client_of: ClientOf, tmp_path: Path) -> Iterator[tuple[Account, Account]]:
    """The service's own account, and another."""
    key = live.create_access_key(policy(allow("*")), "--account", OTHER)
    own = iot, client_of(live, service="iot-data")
    foreign = client_of(live, key), client_of(live, key, service="iot-data")
    with ExitStack() as devices:
        yield (
            Account(live, *own, tmp_path, devices, new_credentials(own[0])),
            Account(live, *foreign, tmp_path, devices, new_credentials(foreign[0])),
        )


@VERSIONS
def test_devices_of_one_name_live_side_by_side_and_hear_nothing_of_each_other(
    accounts: tuple[Account, Account], version: MQTTProtocolVersion
) -> None:
    own, foreign = accounts
    name, topic = unique("lamp"), unique("state")
    hears, listener = own.connect(name, topic, version=version), foreign.connect(name, "#", version=version)

    for speaker in (own.connect(unique("says")).client, hears.client):
        speaker.publish(topic, b"device", qos=1)
        assert hears.hear().payload == b"device"
    own.hears_only_its_own(hears, topic, b"operator")

    foreign.hears_only_its_own(listener, topic)
    assert hears.disconnected.empty()
    # Within an account the later connection of a client takes over; the other account's stays.
    foreign.connect(name, version=version)
    assert listener.disconnected.get(timeout=GENEROUS) is not None
    own.hears_only_its_own(hears, topic)


def test_retained_messages_are_found_in_their_account_alone(accounts: tuple[Account, Account]) -> None:
    own, foreign = accounts
    topic = unique("kept")
    own.publish(topic, b"own", retain=True)

    assert refusal_of(foreign.data.get_retained_message, topic=topic).name == "ResourceNotFoundException"
    assert foreign.data.list_retained_messages()["retainedTopics"] == []
    listener = foreign.connect(unique("listener"), topic)
    foreign.hears_only_its_own(listener, topic)
    foreign.publish(topic, b"foreign", retain=True)
    assert listener.hear().payload == b"foreign"

    assert own.connect(unique("listener"), topic).hear().payload == b"own"
    foreign.publish(topic, retain=True)
    assert own.data.get_retained_message(topic=topic)["payload"] == b"own"
    own.publish(topic, retain=True)


def test_wills_and_presence_are_told_in_their_account_alone(accounts: tuple[Account, Account]) -> None:
    own, foreign = accounts
    name, topic = unique("mortal"), unique("will")
    heir = own.connect(unique("heir"), topic, f"$aws/events/presence/+/{name}")
    stranger = foreign.connect(unique("stranger"), "#", f"$aws/events/presence/+/{name}")

    own.connect(name, will=topic)
    own.data.delete_connection(clientId=name)

    told = {heard.topic: bytes(heard.payload) for heard in (heir.hear(), heir.hear(), heir.hear())}
    connected, disconnected = (f"$aws/events/presence/{kind}/{name}" for kind in ("connected", "disconnected"))
    assert told.keys() == {connected, disconnected, topic}
    assert told[topic] == b"gone"
    assert json.loads(told[connected])["principalIdentifier"] == own.credentials.certificate_id
    # The stranger hears of a client of the same name, its own.
    foreign.connect(name)
    heard = stranger.hear()
    assert heard.topic == connected
    assert json.loads(heard.payload)["principalIdentifier"] == foreign.credentials.certificate_id


def test_operators_look_at_write_to_and_end_connections_of_their_account_alone(
    accounts: tuple[Account, Account],
) -> None:
    own, foreign = accounts
    name = unique("lamp")
    lamp = own.connect(name, "marker")
    for call, more in (
        (foreign.data.get_connection, {}),
        (foreign.data.delete_connection, {}),
        (foreign.data.send_direct_message, {"topic": "marker"}),
    ):
        assert refusal_of(call, clientId=name, **more).name == "ResourceNotFoundException"

    other = foreign.connect(name)
    foreign.data.send_direct_message(clientId=name, topic="to/lamp", payload=b"foreign", confirmation=True, timeout=15)
    assert other.hear().payload == b"foreign"
    foreign.data.delete_connection(clientId=name)
    assert other.disconnected.get(timeout=GENEROUS) is not None

    assert own.data.get_connection(clientId=name)["connected"]
    own.hears_only_its_own(lamp, "marker")
    assert lamp.disconnected.empty()


def test_a_certificate_that_is_transferred_connects_in_its_new_account(accounts: tuple[Account, Account]) -> None:
    own, foreign = accounts
    moving, name, topic = own.credentials, unique("moving"), unique("for/moving")
    before = own.connect(name, topic, version=MQTT_3, clean=False)
    own.hears_only_its_own(before, topic)
    (attached,) = own.iot.list_attached_policies(target=moving.arn)["policies"]

    own.iot.update_certificate(certificateId=moving.certificate_id, newStatus="INACTIVE")
    assert before.disconnected.get(timeout=GENEROUS) is not None
    own.iot.detach_policy(policyName=attached["policyName"], target=moving.arn)
    own.iot.transfer_certificate(certificateId=moving.certificate_id, targetAwsAccount=OTHER)
    assert not is_admitted(own.live, moving, own.folder)
    foreign.iot.accept_certificate_transfer(certificateId=moving.certificate_id, setAsActive=True)
    arn = foreign.iot.describe_certificate(certificateId=moving.certificate_id)["certificateDescription"]
    accepted = unique("accepted")
    foreign.iot.create_policy(policyName=accepted, policyDocument=EVERYTHING)
    foreign.iot.attach_policy(policyName=accepted, target=arn["certificateArn"])
    # It waits in the session that the client had, in the account in which it was.
    own.publish(topic, b"for whom it was")

    foreign.credentials = moving
    after = foreign.connect(name, "#", version=MQTT_3, clean=False)
    foreign.hears_only_its_own(after, topic)
    assert foreign.data.get_connection(clientId=name)["connected"]
    assert refusal_of(own.data.get_connection, clientId=name).name == "ResourceNotFoundException"


def test_other_accounts_have_no_devices_before_a_broker_of_the_services_own(
    tmp_path: Path, client_of: ClientOf
) -> None:
    with mosquitto() as broker, running_service(tmp_path / "data", "--mqtt-data-plane", broker.address) as service:
        live = Live(service, None)
        key = live.create_access_key(policy(allow("*")), "--account", OTHER)
        credentials = new_credentials(client_of(live, key))
        assert not is_admitted(live, credentials, tmp_path)
        lines = [line for line in service.log.splitlines() if credentials.certificate_id in line and "refused" in line]
        assert ["ACCOUNT_NOT_SERVED" in line and OTHER in line for line in lines] == [True]
        foreign = client_of(live, key, service="iot-data")
        for call, parameters in (
            (foreign.publish, {"topic": "a"}),
            (foreign.get_connection, {"clientId": "lamp"}),
            (foreign.delete_connection, {"clientId": "lamp"}),
            (foreign.send_direct_message, {"clientId": "lamp", "topic": "a"}),
            (foreign.list_retained_messages, {}),
        ):
            refusal = refusal_of(call, **parameters)
            assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
            assert f"serves another account than {OTHER}" in refusal.message

        own = client_of(live)
        with device(live, new_credentials(own), tmp_path, "lamp") as lamp:
            assert lamp.subscribe("a")
            client_of(live, service="iot-data").publish(topic="a", qos=1, payload=b"own")
            assert lamp.hear().payload == b"own"
        assert "lamp" in broker.log
        assert credentials.certificate_id not in broker.log


def in_other_account(live: Live, client_of: ClientOf) -> IoT:
    return client_of(live, live.create_access_key(policy(allow("*")), "--account", OTHER))


def credentials_of(identity: Identity) -> Credentials:
    return Credentials(identity.certificate_id, identity.chain_pem.decode(), identity.key_pem.decode(), OTHER)


def served_at(iot: IoT) -> tuple[str, int]:
    """Return the host and port that DescribeEndpoint answers."""
    host, _, port = iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"].partition(":")
    return host, int(port or 8883)


@VERSIONS
def test_a_device_of_another_account_is_served_where_its_account_is_told(
    live: Live, client_of: ClientOf, tmp_path: Path, version: MQTTProtocolVersion
) -> None:
    iot, identity, name = in_other_account(live, client_of), new_identity(), unique("elsewhere")
    iot.register_certificate_without_ca(certificatePem=identity.chain_pem.decode(), status="ACTIVE")
    iot.create_policy(policyName=name, policyDocument=EVERYTHING)
    iot.attach_policy(policyName=name, target=credentials_of(identity).arn)

    with device(live, credentials_of(identity), tmp_path, name, version, endpoint=served_at(iot)) as connected:
        assert connected.subscribe("a")
        connected.client.publish("a", b"heard", qos=1)
        assert connected.hear().payload == b"heard"


def test_a_device_of_another_accounts_ca_is_provisioned_where_its_account_is_told(
    live: Live, client_of: ClientOf, tmp_path: Path
) -> None:
    iot, ca = in_other_account(live, client_of), new_identity(unique("ca"), is_authority=True)
    iot.register_ca_certificate(
        caCertificate=ca.chain_pem.decode(),
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
    )
    identity = new_identity(unique("leaf"), issuer=ca)
    credentials, name = credentials_of(identity), unique("provisioned")
    tried = Device(live, credentials, tmp_path, name, endpoint=served_at(iot))
    assert not tried.is_connected()
    tried.close()

    found = iot.describe_certificate(certificateId=identity.certificate_id)["certificateDescription"]
    assert found["status"] == "PENDING_ACTIVATION"
    iot.create_policy(policyName=name, policyDocument=EVERYTHING)
    iot.attach_policy(policyName=name, target=credentials.arn)
    iot.update_certificate(certificateId=identity.certificate_id, newStatus="ACTIVE")

    with device(live, credentials, tmp_path, name, endpoint=served_at(iot)) as connected:
        assert connected.subscribe("a")


def test_a_certificate_of_several_accounts_is_refused_with_a_reason(
    live: Live, client_of: ClientOf, tmp_path: Path
) -> None:
    identity, third = new_identity(), live.create_access_key(policy(allow("*")), "--account", "666666666666")
    for iot in (in_other_account(live, client_of), client_of(live, third)):
        iot.register_certificate_without_ca(certificatePem=identity.chain_pem.decode(), status="ACTIVE")
    tried = Device(live, credentials_of(identity), tmp_path, unique("whose"), endpoint=served_at(iot))
    assert not tried.is_connected()
    tried.close()
    refused = [line for line in live.service.log.splitlines() if identity.certificate_id in line and "refused" in line]
    assert len(refused) == 1
    assert "DEVICE_CERTIFICATE_ACCOUNT_AMBIGUOUS" in refused[0]
