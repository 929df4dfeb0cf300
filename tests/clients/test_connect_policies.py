"""The examples of the developer guide's page "Connect policy examples", each tried with eight kinds of CONNECT.

A CONNECT may ask for a persistent session, for a will, for both or for neither, in MQTT 3.1.1 and in MQTT 5. What the
page says of an example in words is written here as the sets of features with which a client gets in.
"""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.support.clients.aws import IoT, Live, allow, deny, policy
from tests.support.devices.live_devices import Credentials, new_credentials, unique
from tests.support.devices.mqtt_peer import V3, V5, Peer
from tests.support.machine.loop_thread import GENEROUS

from thingmint.mqtt.codec.packets import Connack, Connect, ProtocolVersion, Will
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode

PERSISTENT, WILL = "PersistentConnect", "LastWill"
PLAIN, LASTING, WILLED, BOTH = (
    frozenset[str](),
    frozenset({PERSISTENT}),
    frozenset({WILL}),
    frozenset({PERSISTENT, WILL}),
)
KINDS = (PLAIN, LASTING, WILLED, BOTH)
TOPIC = "my/lastwill/topicName"
TOPIC_ARN = f"arn:aws:iot:us-east-1:000000000000:topic/{TOPIC}"


Statement: TypeAlias = dict[str, object]


def features(operator: str, *values: str) -> Statement:
    return {operator: {"iot:ConnectAttributes": [*values]}}


def allowed(condition: Statement | None = None) -> Statement:
    return allow("iot:Connect") | ({} if condition is None else {"Condition": condition})


def denied(condition: Statement) -> Statement:
    return deny("iot:Connect") | {"Condition": condition}


ALL_EQUAL, ALL_DIFFER, ANY_EQUAL = (
    "ForAllValues:StringEquals",
    "ForAllValues:StringNotEquals",
    "ForAnyValue:StringEquals",
)
ONE_WILL: Statement = {"ArnEquals": {"iot:LastWillTopic": TOPIC_ARN}}
EXAMPLES: dict[str, tuple[list[Statement], set[frozenset[str]]]] = {
    "persistent sessions": ([allowed(features(ALL_EQUAL, PERSISTENT))], {PLAIN, LASTING}),
    "no persistent sessions": ([allowed(features(ALL_DIFFER, PERSISTENT))], {PLAIN, WILLED}),
    "no persistent sessions, by a denial": ([allowed(), denied(features(ANY_EQUAL, PERSISTENT))], {PLAIN, WILLED}),
    "both and nothing new": ([allowed(features(ALL_EQUAL, PERSISTENT, WILL))], {PLAIN, LASTING, WILLED, BOTH}),
    "clean, with or without a will": ([allowed(features(ALL_EQUAL, WILL))], {PLAIN, WILLED}),
    "default features only": ([allowed(features(ALL_EQUAL))], {PLAIN}),
    "persistent sessions only": ([allowed(features(ANY_EQUAL, PERSISTENT))], {LASTING, BOTH}),
    "must have both": (
        [
            allowed(features(ALL_EQUAL, PERSISTENT, WILL)),
            denied(features(ALL_EQUAL, PERSISTENT)),
            denied(features(ALL_EQUAL, WILL)),
            denied(features(ALL_EQUAL)),
        ],
        {BOTH},
    ),
    "never persistent, a will if it likes": (
        [denied(features(ANY_EQUAL, PERSISTENT)), allowed(features(ALL_EQUAL, WILL))],
        {PLAIN, WILLED},
    ),
    "a will on one topic": ([allowed(ONE_WILL)], {WILLED, BOTH}),
    "clean, with a will on one topic": (
        [allowed(ONE_WILL), denied(features(ANY_EQUAL, PERSISTENT))],
        {WILLED},
    ),
    # Not on the page.
    "without a condition": ([allowed()], {PLAIN, LASTING, WILLED, BOTH}),
    "no will": ([allowed(), denied(features(ANY_EQUAL, WILL))], {PLAIN, LASTING}),
    "a will on another topic": (
        [allowed({"ArnEquals": {"iot:LastWillTopic": f"{TOPIC_ARN}/other"}})],
        set(),
    ),
}


@dataclass
class Tried:
    """A certificate, and how it connects."""

    live: Live
    iot: IoT
    credentials: Credentials
    context: ssl.SSLContext

    def gets_in(self, version: ProtocolVersion, kind: frozenset[str]) -> bool:
        """Return whether a CONNECT with these features is accepted."""
        is_persistent = PERSISTENT in kind
        lasts = ConnectProperties(session_expiry_interval=60)
        connect = Connect(
            version,
            unique("connect"),
            clean_start=not is_persistent,
            will=Will(TOPIC, b"gone") if WILL in kind else None,
            properties=lasts if is_persistent and version is V5 else ConnectProperties(),
        )
        address = ("127.0.0.1", self.live.service.endpoints.mqtt_port)
        with (
            socket.create_connection(address, GENEROUS) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            peer = Peer(wrapped, version)
            peer.send(connect)
            answer = peer.next_packet()
        if answer is None:
            # MQTT 3.1.1 has no word for this refusal: AWS closes the connection.
            assert version is V3
            return False
        assert isinstance(answer, Connack)
        assert answer.reason_code in (ReasonCode.SUCCESS, ReasonCode.NOT_AUTHORIZED)
        return answer.reason_code is ReasonCode.SUCCESS

    @contextlib.contextmanager
    def bound_by(self, *statements: Statement) -> Iterator[None]:
        """Have these statements be all that binds the certificate, besides the right to publish its will."""
        name = unique("connect-policy")
        document = policy(*statements, allow("iot:Publish", resource=TOPIC_ARN))
        self.iot.create_policy(policyName=name, policyDocument=json.dumps(document))
        self.iot.attach_policy(policyName=name, target=self.credentials.arn)
        yield
        self.iot.detach_policy(policyName=name, target=self.credentials.arn)


@pytest.fixture(scope="module")
def tried(live_on_sqlite: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    folder: Path = tmp_path_factory.mktemp("connect")
    with contextlib.closing(live_on_sqlite.client()) as iot:
        credentials = new_credentials(iot, None)
        context = ssl.create_default_context(cafile=str(live_on_sqlite.ca_file))
        context.load_cert_chain(*credentials.files(folder))
        yield Tried(live_on_sqlite, iot, credentials, context)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_policy_lets_in_the_clients_that_the_guide_says(tried: Tried, name: str) -> None:
    statements, expected = EXAMPLES[name]
    with tried.bound_by(*statements):
        for version in (V3, V5):
            let_in = {kind for kind in KINDS if tried.gets_in(version, kind)}
            assert let_in == expected, version


def test_a_will_needs_the_right_to_publish_it(tried: Tried) -> None:
    elsewhere = f"{TOPIC_ARN}/elsewhere"
    with tried.bound_by(allowed(), deny("iot:Publish", resource=TOPIC_ARN), allow("iot:Publish", resource=elsewhere)):
        for version in (V3, V5):
            assert {kind for kind in KINDS if tried.gets_in(version, kind)} == {PLAIN, LASTING}
