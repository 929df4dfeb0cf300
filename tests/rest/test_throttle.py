"""Requests are admitted at the rate of their operation, for each account by itself."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.errors import Throttled
from thingmint.rest.throttle import AWS_QUOTAS, Throttle

ACCOUNT = "000000000000"


class Seconds:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admitted(throttle: Throttle, operation: str = "A", account: str = ACCOUNT, limit: int = 1000) -> int:
    for number in range(limit):
        try:
            throttle.admit(account, operation)
        except Throttled:
            return number
    return limit


def test_no_quota_admits_everything() -> None:
    assert admitted(Throttle("none", Seconds())) == 1000


@pytest.mark.parametrize(
    ("operation", "rate"),
    [
        ("CreateKeysAndCertificate", 10),
        ("CreateCertificateFromCsr", 15),
        ("DescribeThing", 350),
        ("GetEffectivePolicies", 5),
        ("DeleteCertificateProvider", 1),
        ("SomethingElse", 10),
    ],
)
def test_quotas_of_aws(operation: str, rate: int) -> None:
    seconds = Seconds()
    throttle = Throttle("aws", seconds)
    assert admitted(throttle, operation) == rate
    seconds.now += 1
    assert admitted(throttle, operation) == rate


def test_accounts_and_operations_do_not_share_a_bucket() -> None:
    throttle = Throttle({"A": 2, "*": 3}, Seconds())
    assert [admitted(throttle, operation) for operation in ("A", "B", "C", "A")] == [2, 3, 3, 0]
    assert admitted(throttle, "A", "111111111111") == 2


def test_operation_without_a_rate_is_not_limited() -> None:
    throttle = Throttle({"A": 1}, Seconds())
    assert (admitted(throttle, "A"), admitted(throttle, "B")) == (1, 1000)


def test_burst_is_a_setting() -> None:
    seconds = Seconds()
    throttle = Throttle({"*": 2}, seconds, burst=5)
    assert admitted(throttle) == 5
    seconds.now += 1
    assert admitted(throttle) == 2
    seconds.now += 3600
    assert admitted(throttle) == 5


def test_slow_rate_admits_one_at_first() -> None:
    seconds = Seconds()
    throttle = Throttle({"*": 0.1}, seconds)
    assert admitted(throttle) == 1
    seconds.now += 9
    assert admitted(throttle) == 0
    seconds.now += 1
    assert admitted(throttle) == 1


def test_refusal_says_rate_exceeded_and_when_there_is_room() -> None:
    throttle = Throttle({"*": 4}, Seconds())
    admitted(throttle)
    with pytest.raises(Throttled) as refusal:
        throttle.admit(ACCOUNT, "A")
    assert refusal.value.message == "Rate exceeded"
    assert refusal.value.retry_after == pytest.approx(0.25)


@given(st.floats(0.01, 1000), st.floats(0, 1e6), st.lists(st.floats(0, 3), max_size=20))
def test_waiting_as_long_as_told_is_enough(rate: float, start: float, pauses: list[float]) -> None:
    seconds = Seconds()
    seconds.now = start
    throttle = Throttle({"*": rate}, seconds)
    for pause in pauses:
        seconds.now += pause
        admitted(throttle, limit=3)
    admitted(throttle, limit=2000)
    with pytest.raises(Throttled) as refusal:
        throttle.admit(ACCOUNT, "A")
    seconds.now += refusal.value.retry_after
    throttle.admit(ACCOUNT, "A")


@given(st.integers(1, 20), st.lists(st.floats(0, 0.5), min_size=1, max_size=60))
def test_no_window_admits_more_than_burst_and_rate(rate: int, pauses: list[float]) -> None:
    seconds = Seconds()
    throttle = Throttle({"*": rate}, seconds)
    total = 0
    for pause in pauses:
        seconds.now += pause
        total += admitted(throttle)
    assert total <= rate + rate * (seconds.now - 1000.0) + 0.001


def test_clock_that_runs_backwards_gives_nothing_away() -> None:
    seconds = Seconds()
    throttle = Throttle({"*": 2}, seconds)
    assert admitted(throttle) == 2
    seconds.now -= 50
    assert admitted(throttle) == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thingmint.rest.throttle._MAX_BUCKETS", 2)
    throttle = Throttle({"*": 1}, Seconds())
    throttle.admit("1", "A")
    throttle.admit("2", "A")
    assert admitted(throttle, "A", "1") == 0
    throttle.admit("3", "A")
    # The account that was not seen for longest is forgotten, the others are not.
    assert admitted(throttle, "A", "1") == 0
    assert admitted(throttle, "A", "2") == 1


@pytest.mark.parametrize("quota", [{"*": 0}, {"A": -1}, {"A": float("inf")}, {"A": float("nan")}])
def test_rates_are_positive_numbers(quota: Mapping[str, float]) -> None:
    with pytest.raises(ValueError, match="is a positive number"):
        Throttle(quota, Seconds())


def test_profile_must_exist() -> None:
    with pytest.raises(ValueError, match="one of none, aws or a table of rates, not 'azure'"):
        Throttle("azure", Seconds())


@pytest.mark.parametrize("burst", [0, 0.5, float("inf"), float("nan")])
def test_burst_is_at_least_one(burst: float) -> None:
    with pytest.raises(ValueError, match="at least one request"):
        Throttle("none", Seconds(), burst=burst)


def test_own_table_may_change_afterwards() -> None:
    table = {"*": 2.0}
    throttle = Throttle(table, Seconds())
    table["*"] = 100.0
    assert admitted(throttle) == 2


def test_table_of_aws_has_a_default() -> None:
    assert AWS_QUOTAS["*"] == 10


@pytest.mark.parametrize("rate", [1, 10, 350])
def test_nodes_that_come_and_go_admit_the_rate_together(rate: float) -> None:
    seconds, alive = Seconds(), 1
    # A bucket for each node, and requests that are spread evenly.
    throttles = [Throttle({"*": rate}, seconds, nodes=lambda: alive) for _ in range(3)]
    for alive in (1, 3, 2):
        for throttle in throttles:
            admitted(throttle)
        began, count = seconds.now, 0
        while seconds.now < began + 10:
            seconds.now += 0.02
            count += sum(admitted(throttle, limit=10) for throttle in throttles[:alive])
        assert 0.8 * 10 * rate <= count <= 1.2 * 10 * rate
