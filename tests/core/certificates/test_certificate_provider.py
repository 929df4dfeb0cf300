"""Certificate providers: which functions they may name, what those are asked, and what an answer means."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from thingmint.core.certificates.certificate_provider import (
    CertificateProvider,
    ProvidedOperation,
    SigningQuestion,
    provided_pem,
    updated_provider,
)
from thingmint.core.errors import InvalidRequest
from thingmint.core.hooks import HookFailed
from thingmint.core.identifiers import AccountId, CertificateProviderName, Region, Scope

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:sign"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
PROVIDER = CertificateProvider(
    Scope(AccountId("123456789012"), Region("eu-west-1")),
    CertificateProviderName("factory"),
    FUNCTION,
    ProvidedOperation.CREATE_CERTIFICATE_FROM_CSR,
    None,
    NOW,
    NOW,
)


def test_a_provider_has_an_arn() -> None:
    assert PROVIDER.arn == "arn:aws:iot:eu-west-1:123456789012:certificateprovider/factory"


@pytest.mark.parametrize("function", ["", "https://localhost/", "arn:aws:iam::123456789012:role/r", FUNCTION + "\0"])
def test_only_functions_are_named(function: str) -> None:
    with pytest.raises(InvalidRequest, match="not the ARN of a Lambda function"):
        replace(PROVIDER, function_arn=function)


def test_an_update_changes_what_it_names_and_the_time_only_then() -> None:
    other = updated_provider(PROVIDER, FUNCTION + "2", ProvidedOperation.CREATE_CERTIFICATE_FROM_CSR, LATER)
    assert (other.function_arn, other.modified_at, other.created_at) == (FUNCTION + "2", LATER, NOW)
    assert updated_provider(PROVIDER, None, None, LATER) is PROVIDER


def test_a_retry_has_the_token_and_the_words_of_the_first_request() -> None:
    first = replace(PROVIDER, client_token="t")
    again = replace(first, created_at=LATER, modified_at=LATER)
    assert again.is_retry_of(first)
    assert not replace(again, client_token="u").is_retry_of(first)
    assert not replace(again, function_arn=FUNCTION + "2").is_retry_of(first)
    assert not replace(PROVIDER, created_at=LATER).is_retry_of(PROVIDER)


def test_the_question_is_aws_json() -> None:
    question = SigningQuestion(PROVIDER.arn, "pem", "ab", "client-1", refuse)
    assert question.asked_for == PROVIDER.arn
    assert question.as_json() == {
        "certificateSigningRequest": "pem",
        "principalId": "ab",
        "clientId": "client-1",
    }


def refuse(pem: str) -> None:
    raise HookFailed(f"{pem} is for another request")


def test_an_answer_is_checked_for_its_form_and_its_certificate() -> None:
    question = SigningQuestion(PROVIDER.arn, "pem", "ab", "client-1", refuse)
    with pytest.raises(HookFailed, match="no certificatePem"):
        question.check({})
    with pytest.raises(HookFailed, match="other is for another request"):
        question.check({"certificatePem": "other"})
    replace(question, verify=str).check({"certificatePem": "pem"})


@pytest.mark.parametrize("answer", [None, "pem", [], {}, {"certificatePem": 7}, {"certificatePem": None}])
def test_an_answer_without_a_certificate_is_none(answer: object) -> None:
    with pytest.raises(HookFailed, match="certificatePem"):
        provided_pem(answer)


def test_an_answer_is_its_certificate() -> None:
    assert provided_pem({"certificatePem": "pem", "more": 1}) == "pem"
