"""How policies of devices are parsed: once for all connections, as long as they are of a size to remember."""

import json

import pytest

from thingmint.core.errors import MalformedPolicy
from thingmint.core.policy import DecisionEffect, evaluate
from thingmint.registration.device_authorization import parsed_policy


def document(effect: str, *, padding: int = 0) -> str:
    statement = {"Effect": effect, "Action": "iot:Connect", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}) + " " * padding


def test_connections_share_the_policy_of_a_document() -> None:
    assert parsed_policy(document("Allow")) is parsed_policy(document("Allow"))


def test_another_document_is_another_policy() -> None:
    allowing, denying = parsed_policy(document("Allow")), parsed_policy(document("Deny"))
    effects = [evaluate([policy], "iot:Connect", "anything", {}).effect for policy in (allowing, denying)]
    assert effects == [DecisionEffect.ALLOWED, DecisionEffect.EXPLICIT_DENY]


def test_document_that_is_long_for_its_white_space_is_parsed_and_not_remembered() -> None:
    long = document("Allow", padding=5000)
    first, second = parsed_policy(long), parsed_policy(long)
    assert first == second
    assert first is not second


def test_document_that_is_no_policy_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(MalformedPolicy):
            parsed_policy("{}")
