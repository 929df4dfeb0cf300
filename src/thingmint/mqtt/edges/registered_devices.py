"""Owns the identification of devices by the registry: certificates, claims and policies. Independent of connections.

A certificate may open connections if it is ACTIVE and within its validity. Its policies are read at CONNECT, and again
when something on which they depend has changed. An unknown certificate of a registered CA is registered here, once.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from thingmint.core.caller import Caller, Principal
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import CertificateConflict, CertificateInvalid, LimitExceeded, ResourceNotFound
from thingmint.core.identifiers import (
    AccountId,
    CertificateId,
    PolicyName,
    Scope,
    certificate_arn,
    certificate_id_of,
    named_account,
    provisioning_template_arn,
)
from thingmint.core.policies.authorizer import Authorizer as CompiledPolicies
from thingmint.core.policies.device_context import ConnectionContext, device_context
from thingmint.core.policies.simulation import NamedPolicy
from thingmint.core.policies.target import CertificateTarget
from thingmint.core.principals import AccessKeyTarget, PrincipalTarget, Watched
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.core.provisioning.claim_policy import claim_policy
from thingmint.mqtt.edges.access_key_devices import AccessKeyDevice, AccessKeyDevices
from thingmint.mqtt.edges.bound_policies import BoundPolicies
from thingmint.mqtt.rights.ports import ConnectionFacts, DeviceAuthorizer, DeviceRefusal, DeviceRefused, HandshakeSigner
from thingmint.registration.access.unnamed_accounts import account_of_unnamed
from thingmint.registration.certificates.auto_registration import AutoRegistration, FirstConnection, auto_register
from thingmint.registration.certificates.presented_certificates import presented_certificate, registered_certificate
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.policies.device_authorization import BoundDevice, read_device
from thingmint.registration.provisioning.claims import recognise_claim
from thingmint.registration.provisioning.device_provisioning import FleetDevice

# No policy in the registry has a name with spaces.
_CLAIM_POLICY = PolicyName("the policy of claims")

_REFUSALS = {
    CertificateStatus.INACTIVE: DeviceRefusal.INACTIVE,
    CertificateStatus.REGISTER_INACTIVE: DeviceRefusal.INACTIVE,
    CertificateStatus.REVOKED: DeviceRefusal.REVOKED,
    CertificateStatus.PENDING_ACTIVATION: DeviceRefusal.PENDING,
    CertificateStatus.PENDING_TRANSFER: DeviceRefusal.INACTIVE,
}


class FirstConnections(Protocol):
    """Is notified of devices that connect with a certificate in PENDING_ACTIVATION."""

    async def connected(self, registration: AutoRegistration, source_address: str) -> None:
        """Provision the device if its CA has a registration configuration, and notify the listeners."""
        ...


class DeviceSource(Protocol):
    """Reads what the registry has about a device now. A connection keeps its source, so sources are small."""

    async def read_policies(self, client_id: str) -> tuple[ConnectionContext, Sequence[NamedPolicy]]:
        """Return the policy context of a device that connects with this client id, and its policies."""
        ...

    async def check(self) -> None:
        """Raise DeviceRefused unless the certificate may open a connection now."""
        ...


@dataclass(frozen=True, slots=True)
class RegisteredDevice:
    """A certificate that may open connections now, and on whose behalf certificates can be requested."""

    scope: Scope
    certificate_id: CertificateId
    claim: ClaimCertificate | None
    valid_until: datetime
    source: DeviceSource = field(repr=False)

    @property
    def principal_id(self) -> CertificateId:
        """The certificate's id."""
        return self.certificate_id

    async def check(self) -> None:
        """Raise DeviceRefused unless the certificate may open a connection now."""
        await self.source.check()

    async def authorizer(self, facts: ConnectionFacts) -> DeviceAuthorizer:
        """Compile the attached policies; raise DeviceRefused if the policies or things exceed the limits."""
        try:
            known, named = await self.source.read_policies(facts.client_id)
        except LimitExceeded as error:
            raise DeviceRefused(DeviceRefusal.POLICIES_TOO_LARGE, self.scope) from error
        connection = replace(known, source_address=facts.source_address, domain_name=facts.server_name)
        try:
            connected = CompiledPolicies([each.policy for each in named], device_context(connection))
        except LimitExceeded as error:
            raise DeviceRefused(DeviceRefusal.POLICIES_TOO_LARGE, self.scope) from error
        names = tuple(each.name for each in named)
        return BoundPolicies.of(self.scope, facts, connected, names)

    def fleet_device(self, source_address: str) -> FleetDevice:
        """Return the device as the author of a provisioning request, which iot:Publish has authorized, not IAM."""
        caller = device_caller(self.scope, self.certificate_id, source_address)
        return FleetDevice(caller, self.certificate_id, self.claim)


class RegisteredDevices:
    """Implements `ports.DeviceRegistry` on the registry of one region."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        scope: Scope,
        watch: ChangeWatch[Watched],
        first_connections: FirstConnections,
    ) -> None:
        """Serve the region of the scope; its account is used for devices whose server name has no account."""
        self.authority = authority
        self._scope = scope
        self.watch = watch
        self._first_connections = first_connections
        self.known: set[PrincipalTarget] = set()
        """Principals whose policies are watched; `DeviceEdge` removes those that have disconnected."""
        self.access_keys = AccessKeyDevices(authority, scope.region, watch, self.known)

    async def identify(self, chain: Sequence[bytes], server_name: str | None, source_address: str) -> RegisteredDevice:
        """Return the device that showed this chain of DER certificates, its own first; raise DeviceRefused.

        A server name without an account means the service's own account, or the one that `account_of_unnamed` finds.
        """
        named = _named_account(server_name)
        try:
            return await self._identified(chain, named or self._scope.account, source_address)
        except DeviceRefused as refused:
            if named is not None or refused.reason is not DeviceRefusal.NOT_REGISTERED:
                raise
            account = await self._account_of(chain[0])
            if account in (None, self._scope.account):
                raise
        return await self._identified(chain, account, source_address)

    async def identify_signer(self, signer: HandshakeSigner, source_address: str) -> AccessKeyDevice:
        """Return the client that signed the opening handshake of a WebSocket; raise DeviceRefused."""
        del source_address
        return await self.access_keys.of_signer(signer)

    async def of_principal(self, target: PrincipalTarget) -> RegisteredDevice | AccessKeyDevice:
        """Return the device of a principal that has opened a connection; raise DeviceRefused if it no longer may."""
        if isinstance(target, AccessKeyTarget):
            return await self.access_keys.of_target(target)
        return await self.of_target(target)

    async def of_target(self, target: CertificateTarget) -> RegisteredDevice:
        """Return the device of a certificate that has opened a connection; raise DeviceRefused if it no longer may."""
        certificate = await registered_certificate(self.authority, target)
        if certificate is not None:
            self.ensure_admissible(certificate)
            return self._known(certificate)
        claim = await recognise_claim(self.authority, target.certificate_id)
        if claim is None or claim.scope != target.scope:
            raise DeviceRefused(DeviceRefusal.NOT_REGISTERED, target.scope)
        return self._claimed(claim)

    async def _account_of(self, leaf_der: bytes) -> AccountId | None:
        try:
            return await account_of_unnamed(self.authority, self._scope.region, leaf_der)
        except CertificateConflict as error:
            raise DeviceRefused(DeviceRefusal.ACCOUNT_AMBIGUOUS) from error

    async def _identified(self, chain: Sequence[bytes], account: AccountId, source_address: str) -> RegisteredDevice:
        certificate_id = certificate_id_of(chain[0])
        region = self._scope.region
        certificate = await presented_certificate(self.authority, region, account, certificate_id)
        if certificate is None:
            claim = await recognise_claim(self.authority, certificate_id)
            if claim is not None and claim.scope.region == region:
                return self._claimed(claim)
        if certificate is None or _waits_for_its_ca(certificate):
            connection = FirstConnection(region, account, source_address, str(uuid.uuid4()))
            try:
                certificate = await self._registered(connection, chain[0]) or certificate
            except CertificateInvalid as error:
                if certificate is None:
                    scope = Scope(account, region)
                    raise DeviceRefused(DeviceRefusal.NOT_REGISTERED, scope, error.message) from error
        if certificate is None:
            raise DeviceRefused(DeviceRefusal.NOT_REGISTERED, Scope(account, region))
        self.ensure_admissible(certificate)
        return self._known(certificate)

    async def _registered(self, connection: FirstConnection, leaf_der: bytes) -> Certificate | None:
        registration = await auto_register(self.authority, connection, leaf_der)
        if registration is None:
            return None
        if registration.certificate.status is CertificateStatus.PENDING_ACTIVATION:
            await self._first_connections.connected(registration, connection.source_address)
        # As at AWS, the first connection is refused even if its device was provisioned; the next one is accepted.
        return registration.certificate

    def ensure_admissible(self, certificate: Certificate) -> None:
        """Raise DeviceRefused unless the certificate may open a connection now."""
        if certificate.other_encoding_of is not None:
            # An earlier version could register the same certificate twice. The status of the first encoding applies.
            detail = f"The certificate is another encoding of {certificate.other_encoding_of}"
            raise DeviceRefused(DeviceRefusal.NOT_REGISTERED, certificate.scope, detail)
        if certificate.status is not CertificateStatus.ACTIVE:
            raise DeviceRefused(_REFUSALS[certificate.status], certificate.scope)
        if not certificate.not_before <= self.authority.clock.now() <= certificate.not_after:
            raise DeviceRefused(DeviceRefusal.NOT_VALID_NOW, certificate.scope)

    def _known(self, certificate: Certificate) -> RegisteredDevice:
        # Most devices are of one account. Each row has a scope of its own, which would otherwise stay in memory.
        scope = self._scope if certificate.scope == self._scope else certificate.scope
        target = CertificateTarget(scope, certificate.certificate_id)
        self.known.add(target)
        return RegisteredDevice(
            scope, target.certificate_id, None, certificate.not_after, _KnownCertificate(self, target)
        )

    def _claimed(self, claim: ClaimCertificate) -> RegisteredDevice:
        self.known.add(CertificateTarget(claim.scope, claim.certificate_id))
        ends_at = claim.expires_at + timedelta(seconds=1)
        return RegisteredDevice(claim.scope, claim.certificate_id, claim, ends_at, _Claim(self, claim))


class _KnownCertificate(Struct, frozen=True):
    """The source of a device with a certificate of its own."""

    devices: RegisteredDevices
    target: CertificateTarget

    async def read_policies(self, client_id: str) -> tuple[ConnectionContext, Sequence[NamedPolicy]]:
        # Also for a will that is due long after the connection, so that the watch on it is removed later.
        self.devices.known.add(self.target)
        try:
            bound = await self.devices.watch.read(self.target, lambda: self._bound(client_id))
        except ResourceNotFound as error:
            raise DeviceRefused(DeviceRefusal.NOT_REGISTERED, self.target.scope) from error
        return bound.connection, bound.policies

    async def check(self) -> None:
        stored = await registered_certificate(self.devices.authority, self.target)
        if stored is None:
            raise DeviceRefused(DeviceRefusal.NOT_REGISTERED, self.target.scope)
        self.devices.ensure_admissible(stored)

    async def _bound(self, client_id: str) -> tuple[BoundDevice, frozenset[str]]:
        found = await read_device(self.devices.authority, self.target, client_id)
        return found, found.depends_on


class _Claim(Struct, frozen=True):
    """The source of a device with a claim certificate."""

    devices: RegisteredDevices
    claim: ClaimCertificate

    async def read_policies(self, client_id: str) -> tuple[ConnectionContext, Sequence[NamedPolicy]]:
        claim = self.claim
        if await self.devices.watch.read(CertificateTarget(claim.scope, claim.certificate_id), self._current) != claim:
            raise DeviceRefused(DeviceRefusal.NOT_REGISTERED, claim.scope)
        policies = (NamedPolicy(_CLAIM_POLICY, "", claim_policy(claim.scope, claim.template_name)),)
        return ConnectionContext(client_id, certificate_id=claim.certificate_id), policies

    async def check(self) -> None:
        if await recognise_claim(self.devices.authority, self.claim.certificate_id) != self.claim:
            raise DeviceRefused(DeviceRefusal.NOT_VALID_NOW, self.claim.scope)

    async def _current(self) -> tuple[ClaimCertificate | None, frozenset[str]]:
        # When the template is deleted, the claim and the connection end; therefore the template is watched.
        depends_on = frozenset({provisioning_template_arn(self.claim.scope, self.claim.template_name)})
        return await recognise_claim(self.devices.authority, self.claim.certificate_id), depends_on


def device_caller(scope: Scope, certificate_id: CertificateId, source_address: str) -> Caller:
    """Return a device as the caller of its requests. IAM policies do not apply to it."""
    principal = Principal(certificate_arn(scope, certificate_id), ())
    return Caller(scope.account, scope.region, principal, str(uuid.uuid4()), source_address)


def _waits_for_its_ca(certificate: Certificate) -> bool:
    return certificate.status is CertificateStatus.PENDING_ACTIVATION and certificate.ca_certificate_id is not None


def _named_account(server_name: str | None) -> AccountId | None:
    return named_account(server_name or "")
