"""The deletion of an account ends all connections of its devices, whatever they have shown to connect."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.clients.aws import AccessKey, ClientOf, IoT, Live, allow, policy
from tests.support.clients.web_sockets import is_refused_before_opening
from tests.support.devices.live_devices import (
    GENEROUS,
    MQTT_3,
    ROLE,
    Credentials,
    device,
    new_credentials,
    unique,
)

TEMPLATE = {
    "Resources": {
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
        }
    }
}


def new_claim(client: IoT) -> Credentials:
    """Return a claim of a trusted user for a template of its own."""
    template = unique("fleet")
    client.create_provisioning_template(
        templateName=template, templateBody=json.dumps(TEMPLATE), provisioningRoleArn=ROLE, enabled=True
    )
    made = client.create_provisioning_claim(templateName=template)
    return Credentials(made["certificateId"], made["certificatePem"], made["keyPair"]["PrivateKey"])


@pytest.mark.engines
def test_every_connection_of_a_deleted_account_ends_and_no_other_does(live: Live, iot: IoT, tmp_path: Path) -> None:
    created = json.loads(live.thingmint("account", "create", "--json"))
    key = AccessKey(created["AccessKeyId"], created["SecretAccessKey"])
    client = live.client(key)
    own = live.create_access_key(policy(allow("iot:*")))
    with ExitStack() as connections:
        connections.callback(client.close)
        ending = {
            kind: connections.enter_context(device(live, shown, tmp_path, unique(kind)))
            for kind, shown in (("key", key), ("certificate", new_credentials(client)), ("claim", new_claim(client)))
        }
        staying = connections.enter_context(device(live, own, tmp_path, unique("staying")))

        live.thingmint("account", "delete", created["Account"], "--yes")

        ended = {kind: str(each.disconnected.get(timeout=GENEROUS)) for kind, each in ending.items()}
        assert ended == dict.fromkeys(ending, "Administrative action")
        assert is_refused_before_opening(live, key)
        assert staying.subscribe("a")
        assert staying.disconnected.empty()


@pytest.mark.engines
def test_a_later_account_with_the_number_gets_no_earlier_messages(
    live: Live, client_of: ClientOf, tmp_path: Path
) -> None:
    def created(*options: str) -> tuple[str, AccessKey]:
        answer = json.loads(live.thingmint("account", "create", "--json", *options))
        return answer["Account"], AccessKey(answer["AccessKeyId"], answer["SecretAccessKey"])

    number, key = created()
    data = client_of(live, key, service="iot-data")
    client_id, filters = unique("lamp"), unique("state")
    with device(live, new_credentials(client_of(live, key)), tmp_path, client_id, MQTT_3, clean=False) as lamp:
        assert lamp.subscribe(filters)
    data.publish(topic=filters, payload=b"queued", qos=1)
    data.publish(topic="kept", payload=b"retained", retain=True)
    live.thingmint("account", "delete", number, "--yes")
    _, later = created("--id", number)
    data = client_of(live, later, service="iot-data")
    # The command works on the database, and a service on SQLite looks for changes each second.
    deadline = time.monotonic() + GENEROUS
    while data.list_retained_messages()["retainedTopics"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    with device(live, new_credentials(client_of(live, later)), tmp_path, client_id, MQTT_3, clean=False) as lamp:
        assert lamp.subscribe(filters)
        data.publish(topic=filters, payload=b"new", qos=1)
        assert lamp.hear().payload == b"new"
