"""The topics on which devices ask, and those on which they are answered."""

import pytest

from thingmint.api.wire.topics import FleetOperation, FleetTopic, PayloadFormat, accepted, parse_topic, rejected
from thingmint.core.errors import InvalidRequest


@pytest.mark.parametrize(
    ("topic", "parsed"),
    [
        (
            "$aws/certificates/create/json",
            FleetTopic(FleetOperation.CREATE_KEYS_AND_CERTIFICATE, PayloadFormat.JSON),
        ),
        (
            "$aws/certificates/create-from-csr/cbor",
            FleetTopic(FleetOperation.CREATE_CERTIFICATE_FROM_CSR, PayloadFormat.CBOR),
        ),
        (
            "$aws/provisioning-templates/fleet/provision/json",
            FleetTopic(FleetOperation.REGISTER_THING, PayloadFormat.JSON, "fleet"),
        ),
    ],
)
def test_a_topic_names_an_operation_and_a_format(topic: str, parsed: FleetTopic) -> None:
    assert parse_topic(topic) == parsed


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "$aws/certificates/create",
        "$aws/certificates/create/xml",
        "$aws/certificates/create/json/",
        "$aws/certificates/create/json/accepted",
        "$aws/certificates/Create/json",
        "aws/certificates/create/json",
        "$aws/provisioning-templates/fleet/provision/xml",
        "$aws/provisioning-templates/fleet/json",
        "$aws/provisioning-templates/a/b/provision/json",
    ],
)
def test_no_operation_answers_on_any_other_topic(topic: str) -> None:
    with pytest.raises(InvalidRequest, match="No provisioning operation"):
        parse_topic(topic)


def test_answers_come_on_the_topic_of_their_request() -> None:
    assert accepted("$aws/certificates/create/json") == "$aws/certificates/create/json/accepted"
    assert rejected("$aws/certificates/create/json") == "$aws/certificates/create/json/rejected"
