"""Which connections keep their place on the way to CONNECT, and whose turn it is among those that wait."""

from hypothesis import given
from hypothesis import strategies as st

from thingmint.mqtt.transport.network_counts import NetworkCounts
from thingmint.mqtt.transport.queue_of_networks import QueueOfNetworks
from thingmint.mqtt.transport.unauthenticated import UnauthenticatedConnections


def strangers_of(*networks: str, places: int = 4) -> UnauthenticatedConnections[str]:
    unauthenticated: UnauthenticatedConnections[str] = UnauthenticatedConnections(places, 1.0)
    for number, network in enumerate(networks):
        unauthenticated.add(f"{network}{number}", network, 0.0)
    return unauthenticated


def test_handshakes_that_go_on_keep_their_places() -> None:
    unauthenticated = strangers_of("a", "a", "a", "a")
    for number in range(4):
        unauthenticated.received(f"a{number}", 0.5)
    assert unauthenticated.is_full
    assert unauthenticated.gives_way_to("a", 9.0) is None


def test_those_that_sent_nothing_for_a_second_give_way_first() -> None:
    unauthenticated = strangers_of("a", "a", "a")
    unauthenticated.received("a0", 0.0)
    unauthenticated.established("a0", 0.0)
    assert unauthenticated.gives_way_to("a", 0.9) is None
    assert unauthenticated.gives_way_to("a", 1.0) == "a1"
    unauthenticated.remove("a1")
    unauthenticated.remove("a2")
    assert unauthenticated.gives_way_to("a", 0.9) is None
    assert unauthenticated.gives_way_to("a", 2.0) == "a0"


def test_connect_that_arrives_slowly_keeps_its_place() -> None:
    unauthenticated = strangers_of("a")
    unauthenticated.established("a0", 1.0)
    unauthenticated.received("a0", 2.5)
    assert unauthenticated.gives_way_to("a", 3.4) is None
    assert unauthenticated.gives_way_to("a", 3.5) == "a0"


def test_silence_costs_no_place_while_the_service_has_to_go_on() -> None:
    unauthenticated = strangers_of("a", "b")
    for connection in ("a0", "b1"):
        unauthenticated.established(connection, 0.0)
        unauthenticated.sent_connect(connection, 0.5)
    assert unauthenticated.gives_way_to("c", 9.0) is None
    assert unauthenticated.go_on(9.0)
    # The rest of a CONNECT is awaited.
    unauthenticated.received("a0", 10.0)
    assert unauthenticated.gives_way_to("c", 10.9) is None
    assert unauthenticated.gives_way_to("c", 11.0) == "a0"
    # The time limit of CONNECT counts from the end of the handshake.
    assert list(unauthenticated.late(0.0, 0.0)) == ["a0", "b1"]
    unauthenticated.remove("b1")
    unauthenticated.sent_connect("b1", 12.0)
    assert len(unauthenticated) == 1


def test_network_with_many_places_gives_its_newest_to_one_with_few() -> None:
    unauthenticated = strangers_of("a", "a", "a", "b")
    for connection in ("a0", "a1", "a2", "b3"):
        unauthenticated.received(connection, 0.0)
    assert unauthenticated.gives_way_to("c", 0.5) == "a2"
    assert unauthenticated.gives_way_to("b", 0.5) == "a2"
    unauthenticated.remove("a2")
    assert unauthenticated.gives_way_to("b", 0.5) is None
    assert unauthenticated.gives_way_to("c", 0.5) == "a1"
    unauthenticated.remove("a1")
    assert unauthenticated.gives_way_to("c", 0.5) is None


def test_it_is_known_whether_all_go_on() -> None:
    unauthenticated = strangers_of("a", "a")
    assert unauthenticated.has_silent()
    assert unauthenticated.silent(0.0) == "a0"
    assert not unauthenticated.go_on(0.0)
    unauthenticated.received("a0", 1.0)
    unauthenticated.received("a1", 1.0)
    assert not unauthenticated.has_silent()
    assert unauthenticated.silent(9.0) is None
    assert unauthenticated.go_on(9.0)
    unauthenticated.established("a0", 2.0)
    assert unauthenticated.go_on(1.9)
    assert not unauthenticated.go_on(2.0)


def test_time_limits_count_from_the_beginning_of_each_step() -> None:
    unauthenticated = strangers_of("a", "b")
    unauthenticated.established("a0", 5.0)
    for second in range(10):
        unauthenticated.received("b1", float(second))
    assert list(unauthenticated.late(0.0, 0.0)) == ["b1"]
    assert set(unauthenticated.late(0.0, 5.0)) == {"a0", "b1"}


def test_those_that_are_gone_change_nothing() -> None:
    unauthenticated = strangers_of("a")
    unauthenticated.remove("a0")
    unauthenticated.remove("a0")
    unauthenticated.received("a0", 1.0)
    unauthenticated.established("a0", 1.0)
    assert (len(unauthenticated), unauthenticated.networks(), unauthenticated.gives_way_to("b", 9.0)) == (0, 0, None)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcd"))))
def test_tally_knows_a_largest_network(steps: list[tuple[bool, str]]) -> None:
    tally, counts = NetworkCounts(), dict.fromkeys("abcd", 0)
    for adds, network in steps:
        if adds:
            tally.add(network)
            counts[network] += 1
        elif counts[network]:
            tally.remove(network)
            counts[network] -= 1
        largest = tally.largest()
        assert (0 if largest is None else counts[largest]) == max(counts.values())
        assert len(tally) == sum(1 for count in counts.values() if count)


def queue_of(*networks: str, limit: int = 100) -> QueueOfNetworks[int]:
    queue: QueueOfNetworks[int] = QueueOfNetworks(limit)
    for number, network in enumerate(networks):
        queue.put(number, network)
    return queue


def test_each_network_has_its_turn_and_the_first_of_it_comes_first() -> None:
    queue = queue_of("a", "a", "a", "b", "c", "b")
    assert [queue.take()[0] for _ in range(6)] == [0, 3, 4, 1, 5, 2]
    assert (len(queue), queue.networks()) == (0, 0)


def test_newest_of_the_largest_network_is_taken_back() -> None:
    queue = queue_of("a", "a", "a", "b", limit=4)
    assert queue.is_full
    assert queue.take_back("a") is None
    assert queue.take_back("c") == 2
    assert queue.take_back("b") is None
    assert queue.take_back("c") == 1
    assert queue.take_back("c") is None
    assert queue.of("a") == 1
    queue.put(5, "b")
    assert queue_of().take_back("a") is None


def test_a_network_can_be_served_out_of_turn() -> None:
    queue = queue_of("a", "b", "b")
    assert queue.take_of("b") == 1
    assert [queue.take()[0] for _ in range(2)] == [0, 2]
