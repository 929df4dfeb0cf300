"""Requests for certificates take turns: a crowd of one claim certificate keeps no other's devices waiting."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.support.brokers.broker import OTHER, SCOPE, Losses
from tests.support.devices.device_gateway import CREATE, FakeDevice, FakeFleet
from tests.support.devices.device_requests import asked

from thingmint.api.wire.device_operation import DeviceRequest
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.gateway.provisioning_queue import ProvisioningQueue
from thingmint.mqtt.pacing.fair_queue import FairQueue
from thingmint.mqtt.rights.ports import DeviceAnswer, Requester
from thingmint.mqtt.transport.limits import GatewayLimits

FROM_CSR = "$aws/certificates/create-from-csr/json"
CLAIM, SECOND = CertificateId("aa" * 32), CertificateId("bb" * 32)


@dataclass
class RequestingConnection:
    """A connection with one request."""

    provisioning: int = 0
    is_over: bool = False
    answers: list[DeviceAnswer] = field(default_factory=list)

    def answered(self, answer: DeviceAnswer) -> None:
        self.answers.append(answer)

    @property
    def was_turned_away(self) -> bool:
        (answer,) = self.answers
        return answer.topic.endswith("/rejected")


class SlowFleet(FakeFleet):
    """Answers one request for each token, in the order in which they began."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = asyncio.Semaphore(0)
        self.began: list[str] = []

    async def answer(self, requester: Requester, request: DeviceRequest, payload: bytes) -> DeviceAnswer:
        self.began.append(requester.client_id)
        if request.topic == CREATE:
            await self.tokens.acquire()
        return DeviceAnswer(f"{request.topic}/accepted", b"{}")

    def rejection(self, request: DeviceRequest, error: ThingmintError) -> DeviceAnswer:
        return DeviceAnswer(f"{request.topic}/rejected", error.message.encode())


class Queue:
    """A queue with a slow fleet, and short names."""

    def __init__(self, **limits: int) -> None:
        self.fleet = SlowFleet()
        self.losses = Losses()
        self.queue = ProvisioningQueue(self.fleet, GatewayLimits(**limits), Counters(self.losses))

    def ask(
        self, name: str, certificate: CertificateId = CLAIM, topic: str = CREATE, *, scope: Scope = SCOPE
    ) -> RequestingConnection:
        connection = RequestingConnection()
        requester = Requester(FakeDevice(certificate, scope=scope), name, "127.0.0.1")
        self.queue.request(connection, requester, asked(topic), b"{}")
        return connection

    async def answer(self, count: int) -> None:
        for _ in range(count):
            self.fleet.tokens.release()
        await self.pause()

    async def pause(self) -> None:
        for _ in range(1_000):
            await asyncio.sleep(0)


async def test_a_second_claim_is_next_when_a_crowd_of_the_first_has_filled_every_place() -> None:
    queue = Queue(max_provisioning=96)
    crowd = [queue.ask(f"crowd{number}") for number in range(300)]
    second = [queue.ask(f"second{number}", SECOND) for number in range(20)]
    await queue.pause()
    assert not any(connection.answers for connection in second)

    # Eight requests are under way; then the two claims take turns.
    await queue.answer(8 + 2 * 20)

    assert not any(connection.was_turned_away for connection in second)
    answered = [connection for connection in crowd if connection.answers]
    assert sum(connection.was_turned_away for connection in answered) == 300 - 96 + 20
    assert queue.losses.of(Loss.PROVISIONING_THROTTLED) == 300 - 96 + 20
    began = queue.fleet.began[8 : 8 + 2 * 20]
    assert began[1::2] == [f"second{number}" for number in range(20)]
    assert all(name.startswith("crowd") for name in began[::2])
    await queue.answer(96)
    assert all(connection.answers for connection in crowd)
    assert all(connection.provisioning == 0 for connection in [*crowd, *second])


async def test_an_account_has_its_turn_however_many_certificates_another_uses() -> None:
    queue = Queue(max_provisioning=96)
    for number in range(300):
        queue.ask(f"crowd{number}", CertificateId(f"{number:064x}"))
    others = [queue.ask(f"other{number}", SECOND, scope=OTHER) for number in range(10)]

    await queue.answer(8 + 2 * 10)

    assert not any(connection.was_turned_away for connection in others)


async def test_requests_that_need_no_key_do_not_wait_for_those_that_do() -> None:
    queue = Queue()
    for number in range(100):
        queue.ask(f"crowd{number}")
    fast = queue.ask("fast", topic=FROM_CSR)
    await queue.pause()
    assert not fast.was_turned_away


async def test_what_a_connection_that_is_gone_has_asked_for_is_not_carried_out() -> None:
    queue = Queue()
    connections = [queue.ask(f"crowd{number}") for number in range(12)]
    for connection in connections[8:]:
        connection.is_over = True
    await queue.answer(12)
    assert queue.fleet.began == [f"crowd{number}" for number in range(8)]
    assert all(connection.provisioning == 0 for connection in connections)


async def test_the_desk_settles_when_all_that_waits_is_answered_or_abandons_it() -> None:
    queue = Queue()
    connections = [queue.ask(f"crowd{number}") for number in range(20)]
    for _ in range(20):
        queue.fleet.tokens.release()
    await queue.queue.settle(10.0)
    assert not any(connection.was_turned_away for connection in connections)
    assert queue.ask("late").was_turned_away

    stuck = Queue()
    for number in range(20):
        stuck.ask(f"crowd{number}")
    await stuck.queue.settle(0.01)
    assert len(stuck.queue) == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=60))
def test_everything_waits_its_turn_and_no_certificate_is_overtaken_twice(arrivals: list[tuple[int, int]]) -> None:
    line: FairQueue[tuple[int, int, int]] = FairQueue()
    for number, (account, certificate) in enumerate(arrivals):
        line.add(account, certificate, (account, certificate, number))
    left = [line.next() for _ in range(len(line))]
    assert sorted(number for _, _, number in left) == list(range(len(arrivals)))
    assert len(line) == 0
    for account in range(3):
        own = [item for item in left if item[0] == account]
        for certificate in range(4):
            numbers = [number for _, each, number in own if each == certificate]
            assert numbers == sorted(numbers)
        # Between two requests of a certificate, every other certificate that waits has had one.
        for first, second in pairwise(own):
            if first[1] == second[1]:
                position = own.index(second)
                assert {each for _, each, _ in own[position:]} == {first[1]}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=60), st.integers(0, 2))
def test_who_has_most_makes_way_and_never_for_who_would_have_as_many(
    arrivals: list[tuple[int, int]], newcomer: int
) -> None:
    line: FairQueue[tuple[int, int]] = FairQueue()
    for account, certificate in arrivals:
        line.add(account, certificate, (account, certificate))
    before = Counter(arrivals)
    accounts = Counter(account for account, _ in arrivals)

    found = line.make_way(newcomer, 0)

    if found is None:
        assert len(line) == len(arrivals)
        assert max(accounts.values()) <= accounts[newcomer] + 1 or before[newcomer, 0] + 1 >= max(
            before[newcomer, certificate] for certificate in range(4)
        )
        return
    assert len(line) == len(arrivals) - 1
    assert accounts[found[0]] == max(accounts.values())
    assert found[0] != newcomer or before[newcomer, 0] + 1 < before[found]


def test_nobody_makes_way_where_nobody_waits() -> None:
    line: FairQueue[int] = FairQueue()
    assert line.make_way("account", "certificate") is None
    line.add("account", "certificate", 1)
    assert line.clear() == [1]
    assert len(line) == 0
