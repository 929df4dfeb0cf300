"""Every operation, on the registry of a whole fleet: no turn of the event loop grows with the fleet.

The operations come from the tables of the API, so that a new one is tried, or named here with the reason.
"""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.clients.whole_requests import request_with_everything
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import sample_access_key
from tests.support.devices.device_edge import FakeDeviceEdge, new_data_plane
from tests.support.machine.turn_watch import TurnSelector, begin, run_watched
from tests.support.registration.api import Api, build_router
from tests.support.registration.authority import ACCOUNT, EVERYTHING, REGION, caller_with, new_authority
from tests.support.registration.bulk import device, write_input
from tests.support.registration.mutations import (
    ALIAS,
    ATTACHED,
    BILLED,
    BILLING,
    CA,
    CERTIFICATE,
    GROUP,
    MEMBER,
    MUTATIONS,
    NAMED,
    PRINCIPAL,
    PROVIDER,
    TASK,
    TEMPLATE,
    THING,
    TYPE,
    Mutation,
    Request,
    prepared,
)

from thingmint.api.service import served_operations
from thingmint.api.wire.operation import Operation
from thingmint.api.wire.reading.binding import RawRequest
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import AccountId
from thingmint.data_directory.buckets import Buckets
from thingmint.records.access import access_keys as access_key_table

FLEET = 3_000
OWN, OTHER = ACCOUNT, AccountId("222222222222")
SETUP = [
    CERTIFICATE,
    NAMED,
    ATTACHED,
    THING,
    TYPE,
    GROUP,
    MEMBER,
    BILLING,
    BILLED,
    PRINCIPAL,
    CA,
    TEMPLATE,
    TASK,
    ALIAS,
    PROVIDER,
]

# The fleet: devices with a certificate of the account's CA, with the policy, in the group and the billing group.
ENLARGE = (
    (
        "INSERT INTO certificate (account, region, certificate_id, issuer_id, serial_number, status, mode, not_before,"
        " not_after, created_at, modified_at, customer_version, generation_id, der, ca_certificate_id)"
        " SELECT c.account, c.region, printf('%064x', n.n), c.issuer_id, printf('%040x', n.n), 'ACTIVE', c.mode,"
        " c.not_before, c.not_after, c.created_at, c.modified_at, 1, c.generation_id, c.der,"
        " (SELECT max(certificate_id) FROM ca_certificate) FROM n, (SELECT * FROM certificate LIMIT 1) AS c"
    ),
    (
        "INSERT INTO thing (account, region, name, thing_id, type_name, billing_group, attributes, version, created_at)"
        " SELECT $1, $2, 'thing-' || n, printf('%032x', n), 'type', 'billing', '{}', 1, 1 FROM n"
    ),
    (
        "INSERT INTO policy_attachment (account, region, policy_name, target)"
        " SELECT $1, $2, 'policy', 'arn:aws:iot:' || $2 || ':' || $1 || ':cert/' || printf('%064x', n) FROM n"
    ),
    (
        "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type)"
        " SELECT $1, $2, 'thing-' || n, 'arn:aws:iot:' || $2 || ':' || $1 || ':cert/' || printf('%064x', n),"
        " 'NON_EXCLUSIVE_THING' FROM n"
    ),
    (
        "INSERT INTO thing_group_member (account, region, group_name, path, thing_name)"
        " SELECT account, region, name, path, 'thing-' || n.n FROM n, thing_group WHERE name = 'group'"
    ),
)
NUMBERS = f"WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {FLEET}) "

# The names of the fleet, by the members that mention them, and what single operations need besides.
NAMES: dict[str, object] = {
    "policyName": "policy",
    "policyVersionId": "1",
    "thingName": "thing-1",
    "thingTypeName": "type",
    "thingGroupName": "group",
    "billingGroupName": "billing",
    "templateName": "fleet",
    "versionId": "1",
    "roleAlias": "alias",
    "certificateProviderName": "provider",
    # The largest page.
    "maxResults": "250",
    "pageSize": "250",
}
MEMBERS: dict[str, dict[str, object]] = {
    "GetEffectivePolicies": {"thingName": "thing-1"},
    "ListRetainedMessages": {"maxResults": "200"},
    "ListTagsForResource": {"resourceArn": f"arn:aws:iot:{REGION}:{OWN}:policy/policy"},
    "ListThingRegistrationTaskReports": {"reportType": "RESULTS"},
    "Publish": {"topic": "a"},
    "SendDirectMessage": {"topic": "a"},
    "TestAuthorization": {
        "authInfos": [{"actionType": "PUBLISH", "resources": [f"arn:aws:iot:{REGION}:{OWN}:topic/a"]}]
    },
}

# Operations that refuse to delete what the fleet uses.
IN_USE = {"DeleteBillingGroup", "DeletePolicy", "DeleteThingType"}
# Operations on connections and messages, of which there are none here; and the answer.
REFUSED = {
    "DeleteConnection": "No client of this id is connected",
    "GetConnection": "No client of this id is connected",
    "GetRetainedMessage": "The topic has no retained message",
}


class House:
    """The API on a registry in memory."""

    def __init__(self, directory: Path) -> None:
        self.store = MemoryStore()
        self.authority = replace(
            new_authority(self.store), thing_type_deletable_after=timedelta(), files=Buckets(directory)
        )
        self.data_plane = new_data_plane(FakeDeviceEdge())
        found = served_operations(self.authority, "devices.example", self.data_plane)
        self.functions = {each.operation.name: each.invoke for each in found}
        self.api = Api(build_router(self.authority, "devices.example", self.data_plane), self.store)

    async def call(self, request: Request, account: str) -> object:
        """Send a request for the account of this name."""
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        body = json.dumps(request.body).encode() if request.body else b""
        whose = OWN if account == "own" else OTHER
        return await self.api.call(request.method, request.target, body, headers=headers, account=whose)

    async def prepare(self, mutation: Mutation) -> Request:
        """Do what must come before, and add the fleet."""
        key = sample_access_key(1, account=OTHER)
        await self.store.write(lambda: access_key_table.insert_access_key(key))
        request = await prepared(mutation, self.call, OWN, OTHER)
        self.enlarge()
        return request

    def members(self, name: str) -> dict[str, object]:
        """Return the members of a request that name something of the fleet."""
        tables = self.store.tables.connection
        ((ca,),) = tables.execute("SELECT certificate_id FROM ca_certificate").fetchall()
        ((task,),) = tables.execute("SELECT task_id FROM registration_task").fetchall()
        certificate = f"{1:064x}"
        arn = f"arn:aws:iot:{REGION}:{OWN}:cert/{certificate}"
        return (
            {
                "certificateId": ca if "CACert" in name else certificate,
                "caCertificateId": ca,
            }
            | NAMES
            | {"principal": arn, "target": arn, "taskId": task}
            | MEMBERS.get(name, {})
        )

    def enlarge(self) -> None:
        """Add the fleet."""
        for statement in ENLARGE:
            head, _, rest = statement.partition(" SELECT ")
            self.store.execute(f"{head} {NUMBERS} SELECT {rest}", *((OWN, REGION) if "$1" in statement else ()))


def request_of(operation: Operation, members: dict[str, object]) -> RawRequest:
    """Return a request with those of the members that the operation has."""
    whole = request_with_everything(operation, **members)
    body = {name: value for name, value in json.loads(whole.body or b"{}").items() if name in members}
    query = [(name, value) for name, value in whole.query if name in members]
    principal = str(members["principal"]).encode()
    named = {b"x-amzn-principal": principal, b"x-amzn-iot-principal": principal, b"x-amzn-iot-policy": b"policy"}
    return RawRequest(
        whole.labels,
        query,
        [(name, named[name]) for name, _ in whole.headers if name in named],
        json.dumps(body).encode() if body else b"",
    )


def served() -> dict[str, Operation]:
    house = House(Path())
    found = served_operations(house.authority, "devices.example", house.data_plane)
    return {each.operation.name: each.operation for each in found if each.operation.request is not None}


OPERATIONS = served()
CHANGING = {each.operation: each for each in MUTATIONS}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The registry of a fleet."""
    directory = tmp_path_factory.mktemp("fleet")
    write_input(directory, [device(1)], OWN)
    house = House(directory)
    asyncio.run(house.prepare(Mutation("", THING, SETUP)))
    return house.store.tables.connection.serialize("main")


@pytest.mark.parametrize("name", CHANGING)
def test_an_operation_that_changes_something_has_no_turn_that_grows_with_the_fleet(name: str, tmp_path: Path) -> None:
    write_input(tmp_path, [device(1)], OWN)

    async def work(selector: TurnSelector) -> str:
        house = House(tmp_path)
        request = await house.prepare(CHANGING[name])
        await begin(selector)
        try:
            await house.call(request, request.account)
        except ThingmintError as error:
            return error.message
        return ""

    refusal = run_watched(work)
    assert not refusal or name in IN_USE, refusal


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - CHANGING.keys()))
def test_any_other_operation_has_no_turn_that_grows_with_the_fleet(name: str, fleet: bytes, tmp_path: Path) -> None:
    async def work(selector: TurnSelector) -> str:
        house = House(tmp_path)
        house.store.tables.connection.deserialize("main", fleet)
        request = request_of(OPERATIONS[name], house.members(name))
        await begin(selector)
        try:
            await house.functions[name](caller_with(EVERYTHING), request)
        except ThingmintError as error:
            return error.message
        return ""

    refusal = run_watched(work)
    assert refusal == REFUSED.get(name, "")
