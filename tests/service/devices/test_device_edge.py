"""What changes in the registry mean for connected devices, on a gateway that only remembers what it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import der_of, new_ca
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import sample_access_key
from tests.support.devices.device_edge import new_data_plane
from tests.support.devices.device_identities import server_identity
from tests.support.devices.tls_echo import tls_context_of
from tests.support.machine.turn_watch import TurnSelector, begin, run_watched
from tests.support.registration.api import Api, build_router
from tests.support.registration.authority import ACCOUNT, REGION, Listener, caller_with, new_authority
from tests.support.registration.policies import document, statement
from tests.support.registration.provisioning import JITP_BODY, ROLE_ARN
from tests.support.services.logged import capture_logs

from thingmint.api.devices.data_plane import DeviceMessage
from thingmint.core.errors import InvalidRequest, ServiceUnavailable
from thingmint.core.identifiers import AccountId, CertificateId, Scope, ThingName, certificate_id_of
from thingmint.core.policies.target import CertificateTarget
from thingmint.core.registry.registry_event import EventOperation, ThingEvent
from thingmint.core.registry.thing import Thing
from thingmint.issuance.csr import load_csr
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.events import ClientConnected, ConnectRefused, Link, MessageNotServed
from thingmint.mqtt.gateway.last_endings import LastEndings
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.rights.ports import ConnectionFacts, DeviceRefused
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.records import changes as change_table
from thingmint.records.access import access_keys as access_key_table
from thingmint.registration.provisioning.renewals import end_overlaps, renew
from thingmint.service.devices import device_changes, device_edge, device_event_publisher
from thingmint.service.devices.device_edge import DeviceAddress, DeviceEdge

AT = datetime(2026, 1, 2, tzinfo=UTC)
SCOPE, OTHER = Scope(ACCOUNT, REGION), Scope(AccountId("222222222222"), REGION)
DEFAULT = DeviceAddress("127.0.0.1", 8883, True)
FACTS = ConnectionFacts("lamp", "192.0.2.7", None)
PATIENCE = 30


class FakeGateway:
    """Remembers what it was told; listens on nothing."""

    taken: frozenset[int] = frozenset()
    connected_devices = 0

    def __init__(self, *, port: int, also: Iterable[tuple[str, int]], **others: object) -> None:
        self.port, self.also, self.others = port or 40000, tuple(also), others
        self.told: list[tuple[Scope, str, dict[str, Any]]] = []
        self.changed: asyncio.Queue[tuple[str, CertificateTarget]] = asyncio.Queue()
        self.is_stopped = False
        self.last_endings = LastEndings()

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port, *(port for _, port in self.also))

    async def start(self) -> None:
        if FakeGateway.taken & set(self.ports):
            raise OSError("taken")

    async def stop(self, grace: float) -> None:
        self.is_stopped = True

    def has_listeners(self, scope: Scope) -> bool:
        return True

    def publish_event(self, scope: Scope, topic: str, payload: bytes) -> None:
        self.told.append((scope, topic, json.loads(payload)))

    def principal_ended(self, target: CertificateTarget) -> None:
        self.changed.put_nowait(("certificate", target))

    def policies_changed(self, targets: Iterable[CertificateTarget]) -> None:
        for target in targets:
            self.changed.put_nowait(("policies", target))

    def has_connection_of(self, target: CertificateTarget) -> bool:
        return False


class House:
    """An edge on a registry in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.authority = replace(new_authority(self.store), events=Listener())
        self.api = Api(build_router(self.authority, "devices.example", new_data_plane()), self.store)

    def edge(self, address: DeviceAddress = DEFAULT) -> DeviceEdge:
        return DeviceEdge(
            self.authority,
            SCOPE,
            address=address,
            tls_context=tls_context_of(server_identity()),
            data_plane=LocalDataPlane(BrokerLimits(), lambda: 0.0),
            limits=GatewayLimits(),
            observe_connections=lambda count: None,
        )

    async def certificate(self, account: AccountId = ACCOUNT) -> bytes:
        made = await self.api.call("POST", "/keys-and-certificate?setAsActive=true", account=account)
        return x509.load_pem_x509_certificate(made["certificatePem"].encode()).public_bytes(Encoding.DER)

    async def set_status(self, target: CertificateTarget, status: str) -> None:
        path = f"/certificates/{target.certificate_id}?newStatus={status}"
        await self.api.call("PUT", path, account=target.scope.account)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(device_edge, "Gateway", FakeGateway)
    monkeypatch.setattr(FakeGateway, "taken", frozenset())
    return House()


@pytest.fixture
async def edge(house: House) -> AsyncIterator[DeviceEdge]:
    running = house.edge()
    await running.start()
    yield running
    await running.stop(1.0)
    assert gateway_of(running).is_stopped


def gateway_of(edge: DeviceEdge) -> FakeGateway:
    gateway: object = edge.gateway
    assert isinstance(gateway, FakeGateway)
    return gateway


async def known(edge: DeviceEdge, der: bytes, server_name: str | None = None) -> CertificateTarget:
    """Have the device of the certificate connect, as far as the registry sees it."""
    device = await edge._devices.identify([der], server_name, "192.0.2.7")
    await device.authorizer(FACTS)
    return CertificateTarget(device.scope, device.certificate_id)


async def told_of(edge: DeviceEdge, kind: str, target: CertificateTarget) -> None:
    """Wait until the gateway is told; the first look at a registry is about everything."""
    async with asyncio.timeout(PATIENCE):
        while await gateway_of(edge).changed.get() != (kind, target):
            pass


def wake(edge: DeviceEdge) -> None:
    """Tell the edge that this node has committed a change, as the service does."""
    edge.touched()


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("alpn", [None, ("127.0.0.1", 443)])
async def test_the_default_port_gives_way(house: House, alpn: tuple[str, int] | None) -> None:
    FakeGateway.taken = frozenset({8883})
    edge = house.edge(replace(DEFAULT, alpn=alpn))
    await edge.start()
    await edge.stop(1.0)

    assert edge.port == 40000
    assert edge.alpn_port == (None if alpn is None else 443)


@pytest.mark.parametrize(
    ("taken", "address"),
    [(8883, replace(DEFAULT, is_default=False)), (443, replace(DEFAULT, alpn=("127.0.0.1", 443)))],
    ids=["first", "second"],
)
async def test_a_port_that_was_asked_for_is_had_or_nothing_starts(
    house: House, taken: int, address: DeviceAddress
) -> None:
    FakeGateway.taken = frozenset({taken})

    with pytest.raises(OSError, match="taken"):
        await house.edge(address).start()


async def test_a_certificate_that_leaves_active_is_told_at_once(house: House, edge: DeviceEdge) -> None:
    target = await known(edge, await house.certificate())
    await house.set_status(target, "INACTIVE")
    wake(edge)

    await told_of(edge, "certificate", target)


async def test_a_certificate_whose_overlap_ends_is_told(house: House, edge: DeviceEdge) -> None:
    der = await house.certificate()
    target = await known(edge, der)
    authority = replace(house.authority, renewal_overlap=timedelta())
    request = load_csr(csr_pem("p-384", x509.load_der_x509_certificate(der).subject))
    await renew(authority, caller_with(), target.certificate_id, request, may_provision=False)
    assert await end_overlaps(authority, 10) == 1
    wake(edge)

    await told_of(edge, "certificate", target)


async def test_a_certificate_that_is_deleted_is_told(house: House, edge: DeviceEdge) -> None:
    target = await known(edge, await house.certificate())
    await house.set_status(target, "INACTIVE")
    await house.api.call("DELETE", f"/certificates/{target.certificate_id}")
    wake(edge)

    await told_of(edge, "certificate", target)


async def test_a_policy_that_changes_is_told_even_if_nobody_nudges(house: House, edge: DeviceEdge) -> None:
    target = await known(edge, await house.certificate())
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    )
    await house.api.call("POST", "/policies/p", json.dumps({"policyDocument": document}).encode())
    await house.api.call("PUT", "/target-policies/p", json.dumps({"target": target.name}).encode())

    await told_of(edge, "policies", target)


@pytest.mark.parametrize(
    "fault", [ServiceUnavailable(), RuntimeError("of any kind")], ids=lambda fault: type(fault).__name__
)
async def test_a_store_that_fails_between_two_certificates_delays_and_misses_none(
    house: House, edge: DeviceEdge, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    targets = [await known(edge, await house.certificate()) for _ in range(3)]
    really_looked, asked = edge._changes._look_at, 0

    async def look_at(targets: Sequence[CertificateTarget]) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise fault
        await really_looked(targets)

    monkeypatch.setattr(device_changes, "MOST_STATUSES", 1)
    monkeypatch.setattr(edge._changes, "_look_at", look_at)
    for target in targets:
        await house.set_status(target, "REVOKED")
    wake(edge)

    told: set[CertificateTarget] = set()
    async with asyncio.timeout(PATIENCE):
        while told != set(targets):
            kind, target = await gateway_of(edge).changed.get()
            assert kind == "certificate"
            told.add(target)
    assert asked > 2


async def test_a_revocation_overtakes_the_change_of_a_policy_that_a_fleet_shares(
    house: House, edge: DeviceEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pause between two portions ends when the test lets it, not when its time is over.
    may_go_on, is_held = asyncio.Event(), asyncio.Event()
    may_go_on.set()

    class HeldPace:
        async def rest(self) -> bool:
            if not may_go_on.is_set():
                is_held.set()
            await may_go_on.wait()
            await asyncio.sleep(0)
            return True

    monkeypatch.setattr(device_changes, "Pace", HeldPace)
    monkeypatch.setattr(device_changes, "MOST_STATUSES", 2)
    await create_shared_policy(house)
    targets = []
    for _ in range(20):
        der = await house.certificate()
        arn = f"arn:aws:iot:{SCOPE.region}:{SCOPE.account}:cert/{certificate_id_of(der)}"
        await house.api.call("PUT", "/target-policies/shared", json.dumps({"target": arn}).encode())
        targets.append(await known(edge, der))
    wake(edge)
    await told_of(edge, "policies", targets[-1])

    may_go_on.clear()
    body = json.dumps({"policyDocument": document(statement(Action="iot:Connect"))}).encode()
    await house.api.call("POST", "/policies/shared/version?setAsDefault=true", body)
    wake(edge)
    async with asyncio.timeout(PATIENCE):
        await is_held.wait()
    changed = gateway_of(edge).changed
    earlier = [changed.get_nowait() for _ in range(changed.qsize())]
    revoked = targets[0]
    await house.set_status(revoked, "REVOKED")
    wake(edge)
    may_go_on.set()

    async with asyncio.timeout(PATIENCE):
        assert await changed.get() == ("certificate", revoked)
        remaining = set(targets) - {revoked} - {target for _, target in earlier}
        while remaining:
            kind, target = await changed.get()
            assert kind == "policies"
            remaining.discard(target)


async def create_shared_policy(house: House) -> None:
    body = json.dumps({"policyDocument": document(statement(Action="iot:*"))}).encode()
    await house.api.call("POST", "/policies/shared", body)


async def test_a_registry_that_cannot_be_asked_what_has_changed_is_asked_again(house: House, edge: DeviceEdge) -> None:
    target = await known(edge, await house.certificate())
    await house.set_status(target, "REVOKED")
    really_read, refused = house.store.read, asyncio.Event()

    async def refuse(program: object) -> object:
        refused.set()
        raise ServiceUnavailable

    house.store.read = refuse  # type: ignore[method-assign, assignment]  # as a database that is away
    wake(edge)
    await asyncio.wait_for(refused.wait(), PATIENCE)
    house.store.read = really_read  # type: ignore[method-assign]  # it is back

    await told_of(edge, "certificate", target)


async def test_a_device_that_cannot_be_provisioned_is_only_refused(
    house: House, edge: DeviceEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_arguments: object) -> None:
        raise InvalidRequest("the template has no such parameter")

    monkeypatch.setattr(device_event_publisher, "provision_at_first_connection", refuse)
    ca = new_ca()
    config = {"templateBody": JITP_BODY, "roleArn": ROLE_ARN}
    body = {"caCertificate": ca.pem, "certificateMode": "SNI_ONLY", "registrationConfig": config}
    await house.api.call(
        "POST", "/cacertificate?setAsActive=true&allowAutoRegistration=true", json.dumps(body).encode()
    )

    der = der_of(ca.issue("lamp-7"))
    with pytest.raises(DeviceRefused), capture_logs() as lines:
        await edge._devices.identify([der], None, "192.0.2.7")

    (line,) = [each for each in lines if each["event"] == "refused"]
    assert line == {
        "event": "refused",
        "log_level": "warning",
        "action": "RegisterThing",
        "reason": "InvalidRequest",
        "account": ACCOUNT,
        "certificate": certificate_id_of(der),
        "source": "192.0.2.7",
        "resource": f"cacert/{certificate_id_of(der_of(ca.certificate))}",
        "detail": "the template has no such parameter (the template of the CA certificate)",
    }


async def test_what_is_gone_for_two_looks_is_forgotten(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_changes, "_SWEEP_SECONDS", 0.0)
    edge = house.edge()
    await edge.start()
    await known(edge, await house.certificate())
    async with asyncio.timeout(PATIENCE):
        while edge._devices.known:  # noqa: ASYNC110 - the sweep sets no event
            await asyncio.sleep(0)
    await edge.stop(1.0)


async def test_connections_are_told_to_their_account_and_refusals_are_not(edge: DeviceEdge) -> None:
    edge._publisher.receive(ClientConnected(Link("lamp", CertificateId("ab" * 32), "session", "192.0.2.7", OTHER), AT))
    edge._publisher.receive(ConnectRefused(CertificateId("cd" * 32), "192.0.2.7", AT, "DEVICE_CERTIFICATE_REVOKED"))

    # Its topic would be a filter.
    edge._publisher.receive(ClientConnected(Link("#", CertificateId("ab" * 32), "session", "192.0.2.7", OTHER), AT))

    ((scope, topic, event),) = gateway_of(edge).told
    assert (scope, topic, event["clientId"]) == (OTHER, "$aws/events/presence/connected/lamp", "lamp")


async def test_messages_that_are_not_served_are_all_logged_when_it_stops(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    edge = house.edge()
    await edge.start()
    link = Link("lamp", CertificateId("ab" * 32), "session", "192.0.2.7", OTHER)
    for _ in range(5):
        edge._publisher.receive(MessageNotServed(link, AT, "$aws/rules/a"))
    assert gateway_of(edge).told == []
    await edge.stop(1.0)
    lines = [each.getMessage() for each in caplog.records if "$aws/rules/a" in each.getMessage()]
    assert ["dropped: 1 " in lines[0], "dropped: 4 " in lines[1], len(lines)] == [True, True, 2]


@pytest.mark.parametrize(
    ("config", "status"),
    [
        (None, "PENDING_ACTIVATION"),
        ({"templateBody": JITP_BODY, "roleArn": ROLE_ARN}, "ACTIVE"),
    ],
    ids=["JITR", "JITP"],
)
@pytest.mark.parametrize("account", [ACCOUNT, OTHER.account])
async def test_first_connections_are_told_to_their_account_and_provisioned_by_their_ca(
    house: House, edge: DeviceEdge, config: dict[str, str] | None, status: str, account: AccountId
) -> None:
    ca = new_ca()
    body = {"caCertificate": ca.pem, "certificateMode": "SNI_ONLY", "registrationConfig": config}
    made = await house.api.call(
        "POST", "/cacertificate?setAsActive=true&allowAutoRegistration=true", json.dumps(body).encode(), account=account
    )
    der = der_of(ca.issue("lamp-7"))

    with pytest.raises(DeviceRefused):
        await edge._devices.identify([der], f"{account}.localhost", "192.0.2.7")

    ((scope, topic, event),) = gateway_of(edge).told
    assert (scope.account, event["awsAccountId"]) == (account, account)
    assert topic == f"$aws/events/certificates/registered/{made['certificateId']}"
    assert (event["certificateId"], event["certificateStatus"]) == (certificate_id_of(der), "PENDING_ACTIVATION")
    described = await house.api.call("GET", f"/certificates/{certificate_id_of(der)}", account=account)
    assert described["certificateDescription"]["status"] == status


async def test_operators_reach_the_topics_of_their_own_account(edge: DeviceEdge) -> None:
    own, other = (edge.for_operators.edge_of(scope) for scope in (SCOPE, OTHER))

    await own.publish(DeviceMessage("a", b"own", retain=True))

    assert await own.retained("a") is not None
    assert await other.retained("a") is None


async def register_for_two_accounts(house: House) -> bytes:
    """Return a certificate that both accounts have registered for themselves."""
    der = der_of(new_ca().issue())
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    body = json.dumps({"certificatePem": pem, "status": "ACTIVE"}).encode()
    for scope in (SCOPE, OTHER):
        await house.api.call("POST", "/certificate/register-no-ca", body, account=scope.account)
    return der


async def test_what_one_account_does_with_a_certificate_of_two_is_told_of_its_own_alone(
    house: House, edge: DeviceEdge
) -> None:
    der = await register_for_two_accounts(house)
    own, other = [await known(edge, der, f"{scope.account}.localhost") for scope in (SCOPE, OTHER)]
    assert (own.scope, other.scope) == (SCOPE, OTHER)

    await house.set_status(other, "INACTIVE")
    wake(edge)
    told: list[tuple[str, CertificateTarget]] = []
    async with asyncio.timeout(PATIENCE):
        while not told or told[-1] != ("certificate", other):
            told.append(await gateway_of(edge).changed.get())
    assert ("certificate", own) not in told

    await house.set_status(own, "REVOKED")
    wake(edge)
    await told_of(edge, "certificate", own)


async def test_a_certificate_that_is_transferred_is_told_to_its_old_account_and_found_in_its_new_one(
    house: House, edge: DeviceEdge
) -> None:
    der = await house.certificate()
    key = sample_access_key(1, account=OTHER.account)
    await house.store.write(lambda: access_key_table.insert_access_key(key))
    old = await known(edge, der)
    await house.set_status(old, "INACTIVE")
    path = f"/transfer-certificate/{old.certificate_id}?targetAwsAccount={OTHER.account}"
    await house.api.call("PATCH", path, b"{}")
    accept = f"/accept-certificate-transfer/{old.certificate_id}?setAsActive=true"
    await house.api.call("PATCH", accept, account=OTHER.account)

    # It connects in its new account before anybody has looked at the old one.
    new = await known(edge, der)
    wake(edge)

    await told_of(edge, "certificate", old)
    assert new == CertificateTarget(OTHER, old.certificate_id)


async def test_an_event_of_the_registry_is_published_with_an_id_and_the_time(edge: DeviceEdge) -> None:
    lamp = Thing(OTHER, ThingName("lamp"), "lamp-id", AT)
    edge.happened(ThingEvent(EventOperation.CREATED, lamp))

    ((scope, topic, event),) = gateway_of(edge).told
    assert (scope, topic) == (OTHER, "$aws/events/thing/lamp/created")
    assert (event["thingId"], event["accountId"]) == ("lamp-id", OTHER.account)
    assert (event["eventId"], event["timestamp"]) == ("5d6c2a0c-6f7d-4a8e-9c1b-0e2f3a4b5c6d", 1541022751983)


def test_a_change_that_concerns_a_fleet_has_no_long_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_edge, "Gateway", FakeGateway)

    async def work(selector: TurnSelector) -> None:
        house, devices = House(), 4000
        edge = house.edge()
        for number in range(devices):
            other = CertificateTarget(SCOPE, CertificateId(f"{number:064}"))
            await edge._changes._watch.read(other, reading_of(frozenset({"shared"})))
        await edge._changes._watch.changed_keys()
        await house.store.write(lambda: change_table.record_change("shared"))
        await begin(selector)
        await edge._changes._look_at_all()
        assert gateway_of(edge).changed.qsize() == devices

    run_watched(work, budget=20.0)


def reading_of(resources: frozenset[str]) -> Callable[[], Awaitable[tuple[None, frozenset[str]]]]:
    async def reading() -> tuple[None, frozenset[str]]:
        return None, resources

    return reading
