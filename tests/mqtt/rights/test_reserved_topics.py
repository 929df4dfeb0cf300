"""Which of the topics that start with $ are served, and which filters could ever hear an answer."""

import pytest

from thingmint.mqtt.rights.reserved_topics import is_provisioning_request, is_reserved, may_match_an_answer


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/certificates/create/json",
        "$aws/certificates/create/cbor",
        "$aws/certificates/create-from-csr/json",
        "$aws/certificates/create-from-csr/cbor",
        "$aws/provisioning-templates/any-name_1/provision/json",
        "$aws/provisioning-templates/any-name_1/provision/cbor",
    ],
)
def test_requests_are_known_by_their_topics(topic: str) -> None:
    assert is_reserved(topic)
    assert is_provisioning_request(topic)
    assert may_match_an_answer(f"{topic}/accepted")
    assert may_match_an_answer(f"{topic}/rejected")


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/certificates/create",
        "$aws/certificates/create/json/accepted",
        "$aws/certificates/create/JSON",
        "$aws/certificates/delete/json",
        "$aws/provisioning-templates//provision/json",
        "$aws/provisioning-templates/name/provision",
        "$AWS/certificates/create/json",
        "aws/certificates/create/json",
        "",
    ],
)
def test_other_topics_are_no_requests(topic: str) -> None:
    assert not is_provisioning_request(topic)


@pytest.mark.parametrize(
    "pattern",
    [
        "$aws/#",
        "$aws/+/#",
        "$aws/certificates/#",
        "$aws/certificates/create/#",
        "$aws/certificates/create/json/#",
        "$aws/certificates/create/json/+",
        "$aws/certificates/+/+/accepted",
        "$aws/+/+/+/+",
        "$aws/+/+/+/+/+",
        "$aws/provisioning-templates/+/provision/json/accepted",
        "$aws/provisioning-templates/name/provision/+/rejected",
    ],
)
def test_filters_that_an_answer_could_match(pattern: str) -> None:
    assert may_match_an_answer(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "$aws",
        "$aws/+",
        "$aws/certificates/create/json",
        "$aws/certificates/create/json/accepted/#",
        "$aws/certificates/create/json/other",
        "$aws/provisioning-templates/name/#/x",
        "$aws/things/+/shadow/#",
        "$aws/+/+/+/+/+/+",
        "$SYS/#",
        "#",
        "+/certificates/create/json/accepted",
        "aws/#",
    ],
)
def test_filters_that_no_answer_could_match(pattern: str) -> None:
    assert not may_match_an_answer(pattern)
