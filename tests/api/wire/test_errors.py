"""The domain's refusals in AWS's names."""

import inspect
import json

import pytest

from thingmint.api.wire.errors import AccessDeniedName, ErrorAnswer, ErrorMap, RequestTooLarge, RequestTooSlow
from thingmint.core import errors
from thingmint.core.errors import ThingmintError, Throttled
from thingmint.issuance.keys.key_pairs import WeakKey

REFUSALS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ThingmintError) and kind is not ThingmintError
]


@pytest.mark.parametrize("kind", [*REFUSALS, RequestTooLarge, RequestTooSlow], ids=lambda kind: kind.__name__)
def test_every_refusal_of_the_domain_has_a_name_that_says_more_than_internal_failure(
    kind: type[ThingmintError],
) -> None:
    answer = ErrorMap().answer(kind("what is wrong"))

    assert answer.name.endswith("Exception")
    assert answer.name != "InternalFailureException"
    assert answer.message == "what is wrong"
    assert (answer.status >= 500) is (kind in (errors.ServiceUnavailable, errors.DeliveryUnconfirmed))


@pytest.mark.parametrize(
    ("error", "name", "status"),
    [
        (errors.AuthenticationMissing("x"), "MissingAuthenticationTokenException", 403),
        (errors.SignatureIncomplete("x"), "IncompleteSignatureException", 400),
        (errors.CredentialsUnknown("x"), "UnrecognizedClientException", 403),
        (errors.CredentialsExpired("x"), "ExpiredTokenException", 403),
        (errors.SignatureRefused("x"), "InvalidSignatureException", 403),
        (errors.AccessDenied("x"), "AccessDeniedException", 403),
        (errors.OperationUnknown("x"), "UnknownOperationException", 400),
        (errors.CertificateStateRefused("x"), "CertificateStateException", 406),
        (errors.DeletionRefused("x"), "DeleteConflictException", 409),
        (RequestTooLarge("x"), "RequestEntityTooLargeException", 413),
        (RequestTooSlow("x"), "RequestTimeoutException", 408),
        (WeakKey("x"), "InvalidRequestException", 400),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_has_the_name_and_status_of_aws(error: ThingmintError, name: str, status: int) -> None:
    answer = ErrorMap().answer(error)

    assert (answer.name, answer.status) == (name, status)


def test_a_refusal_by_policy_can_be_named_as_the_model_documents_it() -> None:
    answer = ErrorMap(AccessDeniedName.UNAUTHORIZED).answer(errors.AccessDenied("x"))

    assert (answer.name, answer.status) == ("UnauthorizedException", 401)


@pytest.mark.parametrize("error", [KeyError("secret"), ThingmintError("secret"), BaseException("secret")])
def test_an_unknown_error_says_nothing_of_itself(error: BaseException) -> None:
    answer = ErrorMap().answer(error)

    assert (answer.name, answer.status, answer.message) == (
        "InternalFailureException",
        500,
        "An internal failure occurred",
    )


@pytest.mark.parametrize(("seconds", "shown"), [(0.0, 1), (1.0, 1), (1.2, 2)])
def test_a_throttled_caller_is_told_when_to_come_back(seconds: float, shown: int) -> None:
    assert ErrorMap().answer(Throttled(retry_after=seconds)).retry_after == shown


def test_only_a_throttled_caller_is_told_when_to_come_back() -> None:
    assert ErrorMap().answer(errors.InvalidRequest("x")).retry_after is None


def test_a_resource_that_exists_is_told_by_both_its_identifiers() -> None:
    refusal = errors.ResourceExists("there is one", resource_id="id", resource_arn="arn:aws:iot:r:1:policy/id")

    assert ErrorMap().answer(refusal).members == {"resourceId": "id", "resourceArn": "arn:aws:iot:r:1:policy/id"}
    assert ErrorMap().answer(errors.ResourceExists("there is one")).members == {}


def test_a_body_carries_name_message_and_further_members() -> None:
    answer = ErrorAnswer("ResourceAlreadyExistsException", 409, "there is one", {"resourceId": "id"})

    assert json.loads(answer.body) == {
        "__type": "ResourceAlreadyExistsException",
        "message": "there is one",
        "resourceId": "id",
    }
