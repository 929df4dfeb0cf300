"""A service with a quota: AWS's refusal on the wire, and the retries of AWS's SDK, which then succeed by themselves."""

from collections.abc import Iterator

import pytest
from tests.support.clients.aws import ClientOf, Live, refusal_of
from tests.support.services.service import running_service

PER_SECOND = 5
ENOUGH_TO_BE_REFUSED = 40 * PER_SECOND


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service that has room for a few calls a second."""
    data_dir = tmp_path_factory.mktemp("limited") / "data"
    data_dir.mkdir(mode=0o700)
    (data_dir / "thingmint.toml").write_text(f"[quota]\nDescribeEndpoint = {PER_SECOND}\n")
    with running_service(data_dir, key_reserve=0) as service:
        yield Live(service, None)


def test_the_wire_says_throttled_with_a_time_to_come_back(limited: Live) -> None:
    answers = (limited.send(limited.signed("GET", "/endpoint")) for _ in range(ENOUGH_TO_BE_REFUSED))

    refused = next(answer for answer in answers if answer.status != 200)

    assert (refused.status, refused.error_name) == (400, "ThrottlingException")
    assert refused.body["message"] == "Rate exceeded"
    assert int(refused.headers["Retry-After"]) >= 1


def test_a_client_that_does_not_retry_sees_the_exception_of_the_model(limited: Live, client_of: ClientOf) -> None:
    client = client_of(limited, retries={"total_max_attempts": 1})

    def call_often() -> None:
        for _ in range(ENOUGH_TO_BE_REFUSED):
            client.describe_endpoint()

    with pytest.raises(client.exceptions.ThrottlingException):
        call_often()
    refusal = refusal_of(call_often)
    assert (refusal.name, refusal.status, refusal.message) == ("ThrottlingException", 400, "Rate exceeded")


# The default, the standard mode with patience, and the mode that learns the rate.
@pytest.mark.parametrize(
    "retries", [{}, {"mode": "standard", "total_max_attempts": 10}, {"mode": "adaptive", "total_max_attempts": 10}]
)
def test_the_sdks_own_retries_succeed_by_themselves(
    limited: Live, client_of: ClientOf, retries: dict[str, object]
) -> None:
    client = client_of(limited, retries=retries)
    attempts: list[int] = []

    while not any(attempts):
        answer = client.describe_endpoint()
        assert answer["endpointAddress"]
        attempts.append(answer["ResponseMetadata"]["RetryAttempts"])

    assert len(attempts) <= ENOUGH_TO_BE_REFUSED


def test_an_operation_without_a_quota_is_not_held_back(limited: Live, client_of: ClientOf) -> None:
    client = client_of(limited, retries={"total_max_attempts": 1})

    assert all("certificates" in client.list_certificates() for _ in range(4 * PER_SECOND))
