"""Who a device is by the registry: which certificates are admitted, for which account, and what binds them."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace
from tests.support.certificates.encodings import negated
from tests.support.certificates.user_ca import der_of, new_ca
from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_edge import new_data_plane
from tests.support.registration.api import Api, build_router
from tests.support.registration.authority import ACCOUNT, NOW, REGION, new_authority
from tests.support.registration.fleet import FLEET, OPERATOR, create_template
from tests.support.registration.policies import document

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import LimitExceeded, ThingmintError
from thingmint.core.identifiers import AccountId, Region, Scope, certificate_id_of
from thingmint.core.policies.budget import MAX_WEIGHT_IN_FORCE
from thingmint.core.policies.device_context import ConnectAttribute
from thingmint.core.policies.target import CertificateTarget
from thingmint.core.principals import Watched
from thingmint.mqtt.edges.registered_devices import RegisteredDevice, RegisteredDevices
from thingmint.mqtt.rights.ports import ConnectionFacts, DeviceRefusal, DeviceRefused
from thingmint.records.policies.policy_attachments import MAX_THINGS
from thingmint.registration.access.unnamed_accounts import MAX_ISSUERS
from thingmint.registration.certificates.auto_registration import AutoRegistration
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.policies.effective_policies import policies_for
from thingmint.registration.provisioning import claims, provisioning_templates

ADDRESS = "192.0.2.7"
OTHER, THIRD = AccountId("222222222222"), AccountId("333333333333")
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
STATUSES = {
    CertificateStatus.INACTIVE: DeviceRefusal.INACTIVE,
    CertificateStatus.REGISTER_INACTIVE: DeviceRefusal.INACTIVE,
    CertificateStatus.REVOKED: DeviceRefusal.REVOKED,
    CertificateStatus.PENDING_ACTIVATION: DeviceRefusal.PENDING,
    CertificateStatus.PENDING_TRANSFER: DeviceRefusal.INACTIVE,
}


@dataclass
class Clock:
    """A clock that is turned by hand."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


class House:
    """A registry, and the devices that it knows."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), Clock()
        self.authority: RegistrationAuthority = replace(new_authority(self.store), clock=self.clock)
        self.api = Api(build_router(self.authority, "devices.example", new_data_plane()), self.store)
        self.first: list[tuple[AutoRegistration, str]] = []
        self.watch: ChangeWatch[Watched] = ChangeWatch(self.store)
        self.devices = RegisteredDevices(self.authority, Scope(ACCOUNT, REGION), self.watch, self)

    async def connected(self, registration: AutoRegistration, source_address: str) -> None:
        self.first.append((registration, source_address))

    async def certificate(self, account: AccountId = ACCOUNT) -> bytes:
        """Return a new, active certificate as DER."""
        made = await self.api.call("POST", "/keys-and-certificate?setAsActive=true", account=account)
        return x509.load_pem_x509_certificate(made["certificatePem"].encode()).public_bytes(Encoding.DER)

    async def allow(self, der: bytes, *statements: dict[str, Any]) -> None:
        """Attach a policy of these statements to the certificate."""
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        await self.api.call("POST", "/policies/own", json.dumps({"policyDocument": document}).encode())
        target = f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{certificate_id_of(der)}"
        await self.api.call("PUT", "/target-policies/own", json.dumps({"target": target}).encode())

    async def identify(self, der: bytes, server_name: str | None = None) -> RegisteredDevice:
        return await self.devices.identify([der], server_name, ADDRESS)

    async def refusal(self, der: bytes, server_name: str | None = None) -> DeviceRefusal:
        with pytest.raises(DeviceRefused) as refused:
            await self.identify(der, server_name)
        return refused.value.reason


@pytest.fixture
def house() -> House:
    return House()


def facts(client_id: str = "lamp", **known: Any) -> ConnectionFacts:
    return ConnectionFacts(client_id, ADDRESS, None, **known)


def statement(action: str, resource: str, **condition: object) -> dict[str, Any]:
    arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:{resource}"
    return {"Effect": "Allow", "Action": action, "Resource": arn, **({"Condition": condition} if condition else {})}


async def test_an_active_certificate_is_admitted_and_known(house: House) -> None:
    der = await house.certificate()

    device = await house.identify(der)

    assert (device.certificate_id, device.scope) == (certificate_id_of(der), Scope(ACCOUNT, REGION))
    assert house.devices.known == {CertificateTarget(device.scope, device.certificate_id)}


@pytest.mark.parametrize(("status", "reason"), STATUSES.items())
async def test_no_other_status_is_admitted(house: House, status: CertificateStatus, reason: DeviceRefusal) -> None:
    der = await house.certificate()
    house.store.execute("UPDATE certificate SET status = $1", status.value)

    assert await house.refusal(der) is reason
    assert house.devices.known == set()


async def test_policies_that_are_too_large_together_bind_no_connection(house: House) -> None:
    der = await house.certificate()
    await house.allow(der, statement("iot:Connect", "client/lamp"))
    device = await house.identify(der)
    assert (await device.authorizer(facts())).allows("iot:Connect", "client/lamp")

    # A document of this kind was legal before white space inside of strings counted.
    padded = "lamp" + " " * MAX_WEIGHT_IN_FORCE
    house.store.execute("UPDATE policy SET generation_id = 'another'")
    house.store.execute(
        "UPDATE policy_version SET document = $1", document(statement("iot:Connect", f"client/{padded}"), EVERYTHING)
    )
    with pytest.raises(DeviceRefused) as refused:
        await device.authorizer(facts())
    assert refused.value.reason is DeviceRefusal.POLICIES_TOO_LARGE


async def test_a_certificate_with_too_many_things_opens_no_connection(house: House) -> None:
    der = await house.certificate()
    await house.allow(der, statement("iot:Connect", "client/lamp"))
    device = await house.identify(der)
    numbers = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < $1) "
    house.store.execute(
        f"{numbers}INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
        "SELECT account, region, 'thing-' || n, target, 'NON_EXCLUSIVE_THING' FROM number, policy_attachment",
        MAX_THINGS,
    )
    assert (await device.authorizer(facts())).allows("iot:Connect", "client/lamp")
    house.store.execute(
        "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
        "SELECT account, region, 'one-more', target, 'NON_EXCLUSIVE_THING' FROM policy_attachment"
    )
    with pytest.raises(DeviceRefused) as refused:
        await device.authorizer(facts())
    assert refused.value.reason is DeviceRefusal.POLICIES_TOO_LARGE
    target = CertificateTarget(device.scope, device.certificate_id)
    with pytest.raises(LimitExceeded, match="more than 1000 things"):
        await policies_for(house.authority, device.scope, target, None)


async def test_a_certificate_that_nobody_registered_is_not_admitted(house: House) -> None:
    assert await house.refusal(der_of(new_ca().issue())) is DeviceRefusal.NOT_REGISTERED


@pytest.mark.parametrize("at", [NOW - timedelta(days=9999), NOW + timedelta(days=36500)])
async def test_a_certificate_out_of_its_validity_is_not_admitted(house: House, at: datetime) -> None:
    der = await house.certificate()
    house.clock.at = at

    assert await house.refusal(der) is DeviceRefusal.NOT_VALID_NOW


@pytest.mark.parametrize("server_name", [None, "devices.example", f"{ACCOUNT}.devices.example"])
async def test_a_certificate_of_the_service_has_its_account_whatever_the_host_name(
    house: House, server_name: str | None
) -> None:
    own, foreign = await house.certificate(), await house.certificate(OTHER)

    assert (await house.identify(own, server_name)).scope.account == ACCOUNT
    assert (await house.identify(foreign, server_name)).scope.account == OTHER


async def test_the_host_name_names_the_account_of_a_certificate_that_several_may_have(house: House) -> None:
    der = der_of(new_ca().issue())
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    body = json.dumps({"certificatePem": pem, "status": "ACTIVE"}).encode()
    await house.api.call("POST", "/certificate/register-no-ca", body, account=OTHER)

    assert (await house.identify(der, f"{OTHER}.devices.example")).scope.account == OTHER
    assert await house.refusal(der, f"{ACCOUNT}.devices.example") is DeviceRefusal.NOT_REGISTERED
    # It is the only account that has it.
    for server_name in (None, "devices.example"):
        assert (await house.identify(der, server_name)).scope.account == OTHER

    await house.api.call("POST", "/certificate/register-no-ca", body, account=THIRD)
    assert await house.refusal(der) is DeviceRefusal.ACCOUNT_AMBIGUOUS
    for account in (OTHER, THIRD):
        assert (await house.identify(der, f"{account}.devices.example")).scope.account == account

    await house.api.call("POST", "/certificate/register-no-ca", body)
    # The service's own account comes before all others.
    assert (await house.identify(der)).scope.account == ACCOUNT


@pytest.mark.parametrize("server_name", [None, "devices.example"])
async def test_a_new_certificate_belongs_to_the_only_account_whose_ca_signed_it(
    house: House, server_name: str | None
) -> None:
    ca, names = new_ca(), "setAsActive=true&allowAutoRegistration=true"
    body = json.dumps({"caCertificate": ca.pem, "certificateMode": "SNI_ONLY"}).encode()
    await house.api.call("POST", f"/cacertificate?{names}", body, account=OTHER)
    der = der_of(ca.issue())

    assert await house.refusal(der, f"{THIRD}.devices.example") is DeviceRefusal.NOT_REGISTERED
    assert await house.refusal(der, server_name) is DeviceRefusal.PENDING
    assert [told.certificate.scope.account for told, _ in house.first] == [OTHER]

    await house.api.call("POST", f"/cacertificate?{names}", body, account=THIRD)
    # The certificate is registered. Another one of the same CA may be either account's.
    assert await house.refusal(der, server_name) is DeviceRefusal.PENDING
    assert await house.refusal(der_of(ca.issue()), server_name) is DeviceRefusal.ACCOUNT_AMBIGUOUS
    assert len(house.store.tables.certificates) == 1


async def test_no_account_is_sought_among_very_many_cas_of_one_subject(house: House) -> None:
    ca = new_ca()
    for number in range(MAX_ISSUERS + 1):
        body = json.dumps({"caCertificate": new_ca().pem, "certificateMode": "SNI_ONLY"}).encode()
        query, account = "setAsActive=true&allowAutoRegistration=true", AccountId(f"{number:012}")
        await house.api.call("POST", f"/cacertificate?{query}", body, account=account)

    assert await house.refusal(der_of(ca.issue())) is DeviceRefusal.ACCOUNT_AMBIGUOUS


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"not a certificate"])
async def test_what_cannot_be_read_is_of_no_account(house: House, der: bytes) -> None:
    assert await house.refusal(der) is DeviceRefusal.NOT_REGISTERED


async def test_policies_bind_what_a_device_may_do(house: House) -> None:
    der = await house.certificate()
    await house.allow(der, statement("iot:Connect", "client/lamp"), statement("iot:Publish", "topic/${iot:ClientId}/*"))

    authorizer = await (await house.identify(der)).authorizer(facts())

    assert authorizer.allows("iot:Connect", "client/lamp")
    assert authorizer.allows("iot:Publish", "topic/lamp/state")
    assert not authorizer.allows("iot:Publish", "topic/other/state")
    assert not authorizer.allows("iot:Subscribe", "topicfilter/lamp/state")


async def test_a_device_without_a_policy_may_do_nothing(house: House) -> None:
    authorizer = await (await house.identify(await house.certificate())).authorizer(facts())

    assert not authorizer.allows("iot:Connect", "client/lamp")


async def test_what_a_connect_asks_for_counts_for_connecting_alone(house: House) -> None:
    der = await house.certificate()
    only_plain = {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}
    await house.allow(der, statement("iot:Connect", "client/*", **only_plain), statement("iot:Publish", "topic/a"))
    device = await house.identify(der)

    willing = await device.authorizer(facts(attributes=frozenset({ConnectAttribute.LAST_WILL}), will_topic="a"))
    lasting = await device.authorizer(facts(attributes=frozenset({ConnectAttribute.PERSISTENT_CONNECT})))

    assert willing.allows("iot:Connect", "client/lamp")
    assert not lasting.allows("iot:Connect", "client/lamp")
    assert lasting.allows("iot:Publish", "topic/a")


async def test_policies_are_read_anew_and_their_changes_are_watched(house: House) -> None:
    der = await house.certificate()
    device = await house.identify(der)
    await device.authorizer(facts())
    await house.watch.changed_keys()

    await house.allow(der, statement("iot:Connect", "client/*"))

    assert await house.watch.changed_keys() == {CertificateTarget(device.scope, device.certificate_id)}
    assert (await device.authorizer(facts())).allows("iot:Connect", "client/lamp")


async def test_a_certificate_that_is_deleted_while_it_connects_is_refused(house: House) -> None:
    device = await house.identify(await house.certificate())
    house.store.execute("DELETE FROM certificate")

    with pytest.raises(DeviceRefused) as refused:
        await device.authorizer(facts())

    assert refused.value.reason is DeviceRefusal.NOT_REGISTERED


async def test_what_an_earlier_version_registered_twice_opens_no_connection_in_its_second_encoding(
    house: House,
) -> None:
    der = await house.certificate()
    other = negated(der)
    house.store.execute(
        "INSERT INTO certificate (account, region, certificate_id, serial_number, status, mode, not_before, not_after, "
        "created_at, modified_at, customer_version, generation_id, der, other_encoding_of) "
        "SELECT account, region, $1, serial_number, status, 'SNI_ONLY', not_before, not_after, created_at, "
        "modified_at, customer_version, generation_id, $2, certificate_id FROM certificate",
        certificate_id_of(other),
        other,
    )
    assert (await house.identify(der)).certificate_id == certificate_id_of(der)
    assert await house.refusal(other) is DeviceRefusal.NOT_REGISTERED


async def test_a_certificate_is_checked_again_in_every_status(house: House) -> None:
    der = await house.certificate()
    device = await house.identify(der)
    await device.check()
    assert device.valid_until == x509.load_der_x509_certificate(der).not_valid_after_utc
    for status, reason in STATUSES.items():
        house.store.execute("UPDATE certificate SET status = $1", status.value)
        with pytest.raises(DeviceRefused) as refused:
            await device.check()
        assert refused.value.reason is reason
    house.store.execute("DELETE FROM certificate")
    with pytest.raises(DeviceRefused):
        await device.check()


async def test_a_claim_is_checked_again_and_ends_with_its_last_second(house: House) -> None:
    await create_template(house.authority)
    made = await claims.create_claim(house.authority, OPERATOR, FLEET)
    device = await house.identify(made.der)
    await device.check()
    assert device.valid_until == made.expires_at + timedelta(seconds=1)
    house.clock.at = device.valid_until
    with pytest.raises(DeviceRefused):
        await device.check()


async def test_a_trusted_users_claim_can_do_its_one_template(house: House) -> None:
    await create_template(house.authority)
    made = await claims.create_claim(house.authority, OPERATOR, FLEET)

    device = await house.identify(made.der)
    assert await house.refusal(negated(made.der)) is DeviceRefusal.NOT_REGISTERED
    authorizer = await device.authorizer(facts())

    assert device.claim is not None
    assert device.claim.template_name == FLEET
    assert house.devices.known == {CertificateTarget(device.scope, device.certificate_id)}
    assert authorizer.allows("iot:Publish", f"topic/$aws/provisioning-templates/{FLEET}/provision/json")
    assert not authorizer.allows("iot:Publish", "topic/$aws/provisioning-templates/another/provision/json")
    assert not authorizer.allows("iot:Publish", "topic/a")


@pytest.mark.parametrize("is_created_again", [False, True])
async def test_a_claim_whose_template_is_deleted_is_told_to_the_watch_and_refused(
    house: House, *, is_created_again: bool
) -> None:
    await create_template(house.authority)
    made = await claims.create_claim(house.authority, OPERATOR, FLEET)
    device = await house.identify(made.der)
    await device.authorizer(facts())
    await house.watch.changed_keys()

    await provisioning_templates.delete(house.authority, OPERATOR, FLEET)
    if is_created_again:
        await create_template(house.authority)

    assert await house.watch.changed_keys() == {CertificateTarget(device.scope, device.certificate_id)}
    with pytest.raises(DeviceRefused):
        await device.authorizer(facts())


async def test_a_claim_of_another_region_is_nobody_here(house: House) -> None:
    await create_template(house.authority)
    made = await claims.create_claim(house.authority, OPERATOR, FLEET)
    elsewhere = RegisteredDevices(house.authority, Scope(ACCOUNT, Region("us-east-1")), house.watch, house)

    with pytest.raises(DeviceRefused):
        await elsewhere.identify([made.der], None, ADDRESS)


async def test_a_device_asks_for_certificates_in_its_own_name(house: House) -> None:
    device = await house.identify(await house.certificate())

    asking = device.fleet_device(ADDRESS)

    assert (asking.caller.account, asking.caller.source_address) == (ACCOUNT, ADDRESS)
    assert asking.caller.principal.arn.endswith(f":cert/{device.certificate_id}")
    assert asking.caller.principal.policies == ()


@pytest.mark.parametrize("opened", [True, False])
async def test_first_connection_of_a_users_ca_is_told_and_refused(house: House, opened: bool) -> None:
    ca = new_ca()
    await house.api.call(
        "POST",
        f"/cacertificate?setAsActive=true&allowAutoRegistration={str(opened).lower()}",
        json.dumps({"caCertificate": ca.pem, "certificateMode": "SNI_ONLY"}).encode(),
    )
    der = der_of(ca.issue())

    reasons = [await house.refusal(der), await house.refusal(der)]

    assert reasons == [DeviceRefusal.PENDING if opened else DeviceRefusal.NOT_REGISTERED] * 2
    # As at AWS, each connection while it waits is told.
    assert [told.certificate.certificate_id for told, _ in house.first] == [certificate_id_of(der)] * 2 * opened
    assert {address for _, address in house.first} <= {ADDRESS}


async def test_a_certificate_of_a_users_ca_that_does_not_hold_is_not_registered(house: House) -> None:
    ca = new_ca()
    await house.api.call(
        "POST",
        "/cacertificate?setAsActive=true&allowAutoRegistration=true",
        json.dumps({"caCertificate": ca.pem, "certificateMode": "SNI_ONLY"}).encode(),
    )
    house.clock.at = NOW + timedelta(days=36500)

    assert await house.refusal(der_of(ca.issue())) is DeviceRefusal.NOT_REGISTERED
    assert house.first == []


def test_refusals_are_no_failures_of_the_service() -> None:
    assert not issubclass(DeviceRefused, ThingmintError)
