"""What the accounts of a process share: who may take how much, and who gives up first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.mqtt.queues.budgets import AccountBudget, SharedBudget, budgets_of
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.queues.size_classes import SizeClasses, bounds_of_class, class_of


def parts_of(total: int, *taken: int) -> list[AccountBudget]:
    budget = SharedBudget(total)
    parts = [AccountBudget(budget) for _ in taken]
    for part, size in zip(parts, taken, strict=True):
        part.take(size)
    return parts


def test_the_only_account_has_all_the_room() -> None:
    (part,) = parts_of(100, 60)

    assert part.admits(40)
    assert not part.admits(41)


def test_an_account_that_has_more_than_its_share_leaves_room_for_the_others() -> None:
    # Shares of 33: the second may still take 23, the third 33, so that 1 is left for all.
    large, small, none = parts_of(100, 30, 10, 0)

    assert large.admits(3 + 1)
    assert not large.admits(3 + 2)
    assert small.admits(23)
    assert none.admits(33)


def test_what_was_taken_before_others_came_is_not_taken_back() -> None:
    early, late = parts_of(100, 90, 0)

    assert not early.admits(1)
    assert late.admits(10)
    assert not late.admits(11)


def test_room_that_is_given_back_is_there_for_all() -> None:
    early, late = parts_of(100, 100, 0)
    early.take(-60)

    assert late.admits(50)
    assert early.left == late.left == 60


def test_an_account_that_has_left_has_no_share() -> None:
    here, gone = parts_of(100, 50, 10)
    gone.take(-10)
    gone.leave()

    assert here.admits(50)


def test_nobody_leaves_anything_behind() -> None:
    (part,) = parts_of(100, 1)

    with pytest.raises(AssertionError, match="lost to the budget"):
        part.leave()


@pytest.mark.parametrize(("taken", "largest"), [((1, 2, 3), 2), ((3, 2, 3), 0), ((0, 0, 0), 0), ((2, 3, 3), 1)])
def test_who_takes_most_gives_up_first_and_who_asks_among_equals(taken: tuple[int, ...], largest: int) -> None:
    parts = parts_of(100, *taken)

    assert parts[0].largest() is parts[largest]


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 3), st.integers(-40, 60)), max_size=40))
def test_no_account_can_keep_another_from_its_share(accounts: int, changes: list[tuple[int, int]]) -> None:
    budget = SharedBudget(100)
    parts = [AccountBudget(budget) for _ in range(accounts)]
    for number, size in changes:
        part = parts[number % accounts]
        if size < 0:
            part.take(-min(-size, part.taken))
        elif part.admits(size):
            part.take(size)

    share = 100 // accounts
    assert sum(part.taken for part in parts) == 100 - budget.left <= 100
    assert all(part.admits(share - part.taken) for part in parts if part.taken <= share)


def test_limits_say_how_large_the_rooms_are() -> None:
    budgets = budgets_of(BrokerLimits(queued_bytes_in_all=1, retained_bytes_in_all=2, offline_sessions=3))

    assert (budgets.queued_bytes.total, budgets.retained_bytes.total, budgets.offline_sessions.total) == (1, 2, 3)


@given(st.integers(0, 2**40))
def test_classes_of_sizes_are_in_order_and_no_wider_than_an_eighth(size: int) -> None:
    least, above = bounds_of_class(size)
    assert least <= size < above
    assert class_of(least) == class_of(size) == class_of(above - 1) < class_of(above)
    assert least == 0 or class_of(least - 1) < class_of(size)
    assert above - least <= max(1, least / 8)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10_000)), max_size=60))
def test_one_of_the_largest_is_found_whatever_grew_or_shrank(changes: list[tuple[int, int]]) -> None:
    classes: SizeClasses[int] = SizeClasses()
    sizes: dict[int, int] = {}
    for member, size in changes:
        classes.place(member, size)
        sizes[member] = size
        most = max(sizes.values())
        found = classes.largest()
        assert (found is None) == (most == 0)
        assert found is None or class_of(sizes[found]) == class_of(most)
        assert [each for each in sizes if classes.is_among_largest(each)] == [
            each for each in sizes if class_of(sizes[each]) == class_of(most)
        ]
    assert len(classes) == sum(size > 0 for size in sizes.values())
