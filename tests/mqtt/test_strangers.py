"""Who makes way for whom among those that wait to be admitted."""

from thingmint.mqtt.strangers import Strangers


def test_nobody_makes_way_while_there_is_room() -> None:
    strangers: Strangers[str] = Strangers(limit=2, limit_per_network=2)
    strangers.add("first", "here", 1.0)

    assert strangers.in_the_way_of("here") is None


def test_the_oldest_of_a_full_network_makes_way() -> None:
    strangers: Strangers[str] = Strangers(limit=10, limit_per_network=2)
    strangers.add("elsewhere", "there", 1.0)
    strangers.add("first", "here", 2.0)
    strangers.add("second", "here", 3.0)

    assert strangers.in_the_way_of("here") == "first"
    assert strangers.in_the_way_of("there") is None


def test_the_oldest_of_all_makes_way_where_all_together_are_too_many() -> None:
    strangers: Strangers[str] = Strangers(limit=2, limit_per_network=2)
    strangers.add("elsewhere", "there", 1.0)
    strangers.add("first", "here", 2.0)

    assert strangers.in_the_way_of("here") == "elsewhere"
    assert strangers.oldest() == "elsewhere"


def test_a_step_makes_a_stranger_the_youngest() -> None:
    strangers: Strangers[str] = Strangers(limit=10, limit_per_network=2)
    strangers.add("first", "here", 1.0)
    strangers.add("second", "here", 2.0)

    strangers.restart("first", 3.0)

    assert strangers.in_the_way_of("here") == "second"
    assert list(strangers.since_before(2.0)) == [("second", 2.0)]
    assert list(strangers.since_before(3.0)) == [("second", 2.0), ("first", 3.0)]


def test_who_was_admitted_or_has_left_is_forgotten() -> None:
    strangers: Strangers[str] = Strangers(limit=1, limit_per_network=1)
    strangers.add("first", "here", 1.0)

    strangers.remove("first")
    strangers.remove("first")
    strangers.restart("first", 2.0)

    assert len(strangers) == 0
    assert strangers.oldest() is None
    assert strangers.in_the_way_of("here") is None
