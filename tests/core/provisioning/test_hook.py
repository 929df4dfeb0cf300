"""What a pre-provisioning hook is asked, and which answers let a device in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.hooks import HookFailed
from thingmint.core.identifiers import CertificateId
from thingmint.core.provisioning.hook import HookAnswer, HookQuestion, hook_answer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_a_question_has_awss_members() -> None:
    question = HookQuestion(CertificateId("a"), CertificateId("b"), "pem", "arn", "client", {"k": "v"})
    assert question.asked_for == "arn"
    question.check({"allowProvisioning": False})
    with pytest.raises(HookFailed):
        question.check({})
    assert question.as_json() == {
        "claimCertificateId": "a",
        "certificateId": "b",
        "certificatePem": "pem",
        "templateArn": "arn",
        "clientId": "client",
        "parameters": {"k": "v"},
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"allowProvisioning": True}, HookAnswer(True, {})),
        ({"allowProvisioning": False, "parameterOverrides": None}, HookAnswer(False, {})),
        ({"allowProvisioning": True, "parameterOverrides": {"a": "b"}, "x": 1}, HookAnswer(True, {"a": "b"})),
    ],
)
def test_an_answer_is_read(answer: object, expected: HookAnswer) -> None:
    assert hook_answer(answer) == expected


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "not an object"),
        ([], "not an object"),
        ("true", "not an object"),
        ({}, "neither true nor false"),
        ({"allowProvisioning": "true"}, "neither true nor false"),
        ({"allowProvisioning": 1}, "neither true nor false"),
        ({"allowProvisioning": True, "parameterOverrides": []}, "parameterOverrides"),
        ({"allowProvisioning": True, "parameterOverrides": {"a": 1}}, "parameterOverrides"),
        ({"allowProvisioning": True, "parameterOverrides": {1: "a"}}, "parameterOverrides"),
    ],
)
def test_an_answer_of_another_form_is_a_failure(answer: object, reason: str) -> None:
    with pytest.raises(HookFailed, match=reason):
        hook_answer(answer)


@given(JSON)
def test_nothing_but_true_lets_a_device_in(answer: object) -> None:
    try:
        allowed = hook_answer(answer).allow_provisioning
    except HookFailed:
        return
    assert isinstance(answer, dict)
    assert allowed is answer["allowProvisioning"]
