"""The table of device operations: which topics devices may publish to, and which filters could hear an answer."""

import importlib.util
from pathlib import Path

import pytest

from thingmint.api.devices.device_api import DEVICE_OPERATIONS
from thingmint.api.wire.device_operation import Hearer

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("$aws/certificates/create/json", "CreateKeysAndCertificate"),
        ("$aws/certificates/create/cbor", "CreateKeysAndCertificate"),
        ("$aws/certificates/create-from-csr/json", "CreateCertificateFromCsr"),
        ("$aws/certificates/create-from-csr/cbor", "CreateCertificateFromCsr"),
        ("$aws/provisioning-templates/any-name_1/provision/json", "RegisterThing"),
        ("$aws/provisioning-templates/any-name_1/provision/cbor", "RegisterThing"),
    ],
)
def test_requests_are_known_by_their_topics(topic: str, name: str) -> None:
    found = DEVICE_OPERATIONS.find(topic)
    assert found is not None
    assert found.operation.name == name
    assert found.format == topic.rpartition("/")[2]
    assert DEVICE_OPERATIONS.are_heard_with(f"{topic}/accepted")
    assert DEVICE_OPERATIONS.are_heard_with(f"{topic}/rejected")


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/certificates/create",
        "$aws/certificates/create/json/accepted",
        "$aws/certificates/create/JSON",
        "$aws/certificates/delete/json",
        "$aws/provisioning-templates//provision/json",
        "$aws/provisioning-templates/name/provision",
        "$aws/events/presence/connected/lamp",
        "$AWS/certificates/create/json",
        "aws/certificates/create/json",
        "",
    ],
)
def test_other_topics_are_no_requests(topic: str) -> None:
    assert DEVICE_OPERATIONS.find(topic) is None


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
        "$aws/provisioning-templates/+/provision/json/accepted",
        "$aws/provisioning-templates/name/provision/+/rejected",
    ],
)
def test_filters_that_an_answer_could_match(pattern: str) -> None:
    assert DEVICE_OPERATIONS.are_heard_with(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "$aws",
        "$aws/+",
        "$aws/certificates/create/json",
        "$aws/certificates/create/json/accepted/#",
        "$aws/certificates/create/json/other",
        "$aws/things/+/shadow/#",
        "$SYS/#",
        "#",
        "+/certificates/create/json/accepted",
        "aws/#",
    ],
)
def test_filters_that_nothing_could_match(pattern: str) -> None:
    assert not DEVICE_OPERATIONS.are_heard_with(pattern)


@pytest.mark.parametrize("pattern", ["$aws/#", "$aws/+/#", "$aws/+/a", "$aws/events/#", "$aws/events/+/+/a"])
def test_filters_that_an_event_could_match(pattern: str) -> None:
    assert DEVICE_OPERATIONS.events_are_heard_with(pattern)
    assert DEVICE_OPERATIONS.are_heard_with(pattern)


@pytest.mark.parametrize("pattern", ["$aws/certificates/#", "$aws/events", "$aws/+", "events/#"])
def test_filters_that_no_event_could_match(pattern: str) -> None:
    assert not DEVICE_OPERATIONS.events_are_heard_with(pattern)


def test_what_is_answered_has_a_format_and_goes_to_the_requester_alone() -> None:
    answered = [row for row in DEVICE_OPERATIONS.rows if row.handler is not None]
    assert answered
    assert all(row.topic.formats and row.hears is Hearer.REQUESTER and row.action for row in answered)


def test_the_reference_page_is_that_of_the_table() -> None:
    tool = ROOT / "tools" / "device_operations.py"
    spec = importlib.util.spec_from_file_location("device_operations", tool)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/reference/device-operations.md").read_text() == module.page(), "run `make device-operations`"
