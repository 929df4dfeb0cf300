"""With a clock before the authority's beginning, no way of registration issues anything or changes the registry."""

import json
from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_requests import asked
from tests.support.registration.authority import EVERYTHING, NOW, caller_with, new_authority
from tests.support.registration.fleet import CLAIM_ID, FLEET, OPERATOR, USUAL, create_template

from thingmint.api.devices.device_api import DeviceApi
from thingmint.core.errors import ServiceUnavailable
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import claims, device_provisioning
from thingmint.registration.provisioning.bulk_runner import BulkRunner

EARLIER = NOW - timedelta(days=30)
DEVICE = device_provisioning.FleetDevice(caller_with(EVERYTHING), CLAIM_ID)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
async def authority(store: MemoryStore, clock: SettableClock) -> RegistrationAuthority:
    made = replace(new_authority(store), clock=clock)
    await create_template(made, USUAL)
    return made


async def test_nothing_is_issued_to_operators(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock
) -> None:
    before = store.tables.dump()
    clock.at = EARLIER
    for attempt in (
        certificates.issue_with_new_key(authority, OPERATOR, active=True),
        certificates.issue_from_csr(authority, OPERATOR, csr_pem("p-256"), active=True),
        claims.create_claim(authority, OPERATOR, FLEET),
    ):
        with pytest.raises(ServiceUnavailable, match="clock is before"):
            await attempt
    assert store.tables.dump() == before


@pytest.mark.parametrize(
    ("operation", "payload"), [("create", {}), ("create-from-csr", {"certificateSigningRequest": csr_pem("p-256")})]
)
async def test_nothing_is_issued_to_devices(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock, operation: str, payload: object
) -> None:
    before = store.tables.dump()
    clock.at = EARLIER
    topic = f"$aws/certificates/{operation}/json"
    reply = await DeviceApi(authority).answer(DEVICE, "client", asked(topic), json.dumps(payload).encode())
    assert reply.topic == f"{topic}/rejected"
    assert json.loads(reply.payload)["statusCode"] == 503
    assert store.tables.dump() == before
    clock.at = NOW
    reply = await DeviceApi(authority).answer(DEVICE, "client", asked(topic), json.dumps(payload).encode())
    assert reply.topic == f"{topic}/accepted"


async def test_nothing_is_issued_by_a_node_whose_clock_cannot_be_trusted(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    before = store.tables.dump()

    def require_right_clock() -> None:
        raise ServiceUnavailable("The clock is far off")

    off = replace(authority, require_right_clock=require_right_clock)
    for attempt in (
        certificates.issue_with_new_key(off, OPERATOR, active=True),
        certificates.issue_from_csr(off, OPERATOR, csr_pem("p-256"), active=True),
        claims.create_claim(off, OPERATOR, FLEET),
        BulkRunner(off, "node").work(),
    ):
        with pytest.raises(ServiceUnavailable, match="far off"):
            await attempt
    assert store.tables.dump() == before
