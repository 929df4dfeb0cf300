"""What is left of a deleted account in the built-in broker: nothing, once its connections have ended."""

from tests.support.brokers.broker import OTHER, SCOPE, Bench, Device, charged_bytes

from thingmint.core.identifiers import AccountId, Scope
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, Will
from thingmint.mqtt.codec.properties import WillProperties
from thingmint.mqtt.queues.limits import BrokerLimits

LATE = Will("will", b"gone", properties=WillProperties(will_delay_interval=60))


def filled(bench: Bench) -> Device:
    """Fill a broker with sessions, queued and retained messages and wills; return a client that stays connected."""
    for number in range(5):
        bench.subscribe(away := bench.connect(f"away-{number}", expiry=600, will=LATE), "a")
        bench.leave(away, clean=False)
    staying = bench.connect("staying", expiry=600, will=LATE)
    for topic in ("a", "b"):
        bench.publish(staying, topic, b"x", retain=True)
    return staying


def test_nothing_is_left_of_an_account_once_its_connections_have_ended() -> None:
    bench = Bench()
    staying = filled(bench)
    assert bench.broker.forget(bench.now)
    assert bench.broker.retained_after("", 10, bench.now) == []
    bench.leave(staying)
    assert bench.broker.is_empty
    assert charged_bytes(bench.broker) == (0, 0)


def test_no_will_of_a_forgotten_account_is_published() -> None:
    bench = Bench()
    staying = filled(bench)
    bench.subscribe(heir := bench.connect("heir"), "will")
    bench.broker.forget(bench.now)
    bench.leave(staying, clean=False)
    bench.wait(120)
    assert heir.payloads == []


def test_an_account_is_forgotten_in_time_slices() -> None:
    bench = Bench()
    filled(bench)
    slices = 1
    while not bench.broker.forget(bench.now, lambda: True):
        slices += 1
    assert slices == 5 + 2


async def test_a_data_plane_forgets_one_account_and_no_other() -> None:
    plane = LocalDataPlane(BrokerLimits(), lambda: 0.0)
    for scope in (SCOPE, OTHER):
        await plane.open(Device("lamp", scope=scope), Connect(ProtocolVersion.MQTT_5, "lamp"))
        await plane.publish_own(scope, Publish("a", b"x", QoS.AT_LEAST_ONCE, retain=True))
    assert plane.kept_here.accounts() == {SCOPE, OTHER}
    await plane.kept_here.forget(SCOPE)
    await plane.kept_here.forget(Scope(AccountId("333333333333"), SCOPE.region))
    assert await plane.retained(SCOPE, "a") is None
    assert await plane.retained(OTHER, "a") is not None
