"""Operations on the account of a whole fleet: no turn of the event loop grows with the fleet or its messages.

The store is a real one, because its writes take place in a thread, and the broker is the built-in one.
"""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.api.test_turns_of_operations import OTHER, OWN, SETUP, House
from tests.support.clients.signing import SettableClock
from tests.support.databases.stores import sample_access_key
from tests.support.machine.turn_watch import TurnSelector, begin, run_watched
from tests.support.registration.authority import EVERYTHING, REGION, caller_with, new_authority
from tests.support.registration.bulk import device, write_input
from tests.support.registration.mutations import THING, Mutation
from tests.support.registration.own_api import MovedClock

from thingmint.api.accounts.accounts import Administration
from thingmint.api.service import operations_of_test_mode, own_operations, served_operations
from thingmint.api.wire.reading.binding import RawRequest
from thingmint.core.identifiers import Scope
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Publish
from thingmint.mqtt.edges.operator_edge import OperatorEdges
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.records.access import access_keys as access_key_table
from thingmint.storage.sqlite.store import open_sqlite

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'
RETAINED = 8_000
# The members of each request; the caller's account is the service's own one, and the fleet belongs to another.
REQUESTS: dict[str, RawRequest] = {
    "CreateAccount": RawRequest({}, [], [], b"{}"),
    "CreateAccountAccessKey": RawRequest({"account": OWN}, [], [], json.dumps({"policy": POLICY}).encode()),
    "DeleteAccount": RawRequest({"account": OWN}, [], [], b""),
    "ListAccounts": RawRequest({}, [("maxResults", "100")], [], b""),
    "MoveClock": RawRequest({}, [], [], b'{"advanceSeconds":86400}'),
    "Reset": RawRequest({}, [], [], b""),
    "Seed": RawRequest({}, [], [], b'{"operations":[]}'),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The registry of a fleet, in which both accounts have access keys."""
    directory = tmp_path_factory.mktemp("fleet")
    write_input(directory, [device(1)], OWN)
    house = House(directory)

    async def prepare() -> None:
        await house.prepare(Mutation("", THING, SETUP))
        await house.store.write(lambda: access_key_table.insert_access_key(sample_access_key(2, account=OWN)))

    asyncio.run(prepare())
    return house.store.tables.connection.serialize("main")


@pytest.mark.parametrize("name", REQUESTS)
def test_an_operation_on_accounts_has_no_turn_that_grows_with_the_fleet(
    name: str, fleet: bytes, tmp_path: Path
) -> None:
    attempts = iter(range(100))

    async def work(selector: TurnSelector) -> None:
        path = tmp_path / str(next(attempts))
        path.write_bytes(fleet)
        store = await open_sqlite(path, observe=lambda _kind, _seconds: None)
        plane = LocalDataPlane(BrokerLimits(), asyncio.get_running_loop().time)
        for number in range(RETAINED):
            await plane.publish_own(Scope(OWN, REGION), Publish(f"status/{number}", b"on", retain=True))
        authority = replace(new_authority(), store=store)
        edges = OperatorEdges(no_gateway, plane, SettableClock())
        administration = Administration(authority, edges, OTHER)
        served = served_operations(authority, "devices.example", edges)
        own = (*own_operations(administration), *operations_of_test_mode(administration, MovedClock(), served))
        (invoke,) = (each.invoke for each in own if each.operation.name == name)
        assert {each.operation.name for each in own} == REQUESTS.keys()
        await begin(selector)
        await invoke(caller_with(EVERYTHING, account=OTHER), REQUESTS[name])
        await store.close()
        await plane.stop()

    run_watched(work)


def no_gateway() -> Gateway:
    raise AssertionError("no operation on accounts needs the gateway")
