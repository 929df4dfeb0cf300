"""Owns the clients that connect by access keys: their keys, the keys' policies, and the conditions of their requests.

A key's policy is read at CONNECT, and again when a key of its user has changed. Independent of signatures.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from thingmint.core.access_key import AccessKey
from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import AccessDenied, LimitExceeded
from thingmint.core.identifiers import AccessKeyPrincipalId, Region, Scope, user_arn
from thingmint.core.policies.authorizer import Authorizer as CompiledPolicies
from thingmint.core.policies.device_context import ConnectionContext, access_key_context
from thingmint.core.principals import AccessKeyTarget, PrincipalTarget, Watched
from thingmint.mqtt.edges.bound_policies import BoundPolicies
from thingmint.mqtt.rights.ports import ConnectionFacts, DeviceAuthorizer, DeviceRefusal, DeviceRefused, HandshakeSigner
from thingmint.registration.access.access_keys import read_access_key
from thingmint.registration.access.principals import Principals
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.policies.authorization import TIME_KEYS, caller_conditions, time_conditions, user_id
from thingmint.registration.provisioning.device_provisioning import FleetDevice

# No policy in the registry has a name with spaces.
_POLICY: Final = "the policy of the access key"
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_TIMES: Final = frozenset(map(str.lower, TIME_KEYS))


@dataclass(frozen=True, slots=True)
class AccessKeyDevice:
    """A client with an access key that may open connections now."""

    scope: Scope
    principal_id: AccessKeyPrincipalId
    valid_until: datetime
    source: _KnownAccessKey = field(repr=False)

    async def check(self) -> None:
        """Raise DeviceRefused unless the access key may open a connection now."""
        await self.source.read()

    async def authorizer(self, facts: ConnectionFacts) -> DeviceAuthorizer:
        """Compile the access key's policy; raise DeviceRefused if the key has ended or the policy is too large."""
        principal, owner = await self.source.read(), self.source.owner
        caller = Caller(self.scope.account, self.scope.region, principal, "", facts.source_address)
        conditions = {
            **facts.conditions,
            **time_conditions(owner.authority.clock.now()),
            **caller_conditions(caller),
            "aws:ResourceAccount": (self.scope.account,),
        }
        connection = ConnectionContext(facts.client_id, facts.source_address, facts.server_name)
        try:
            connected = CompiledPolicies(principal.policies, access_key_context(connection, conditions))
        except LimitExceeded as error:
            raise DeviceRefused(DeviceRefusal.POLICIES_TOO_LARGE, self.scope) from error
        owner.note_times(self.source.target, principal)
        return BoundPolicies.of(self.scope, facts, connected, (_POLICY,))

    def fleet_device(self, source_address: str) -> FleetDevice:
        """Return the client as the author of a provisioning request, which iot:Publish has authorized."""
        principal = Principal(self.source.user_arn, ())
        caller = Caller(self.scope.account, self.scope.region, principal, str(uuid.uuid4()), source_address)
        return FleetDevice(caller, self.principal_id)


class AccessKeyDevices:
    """Finds the clients with access keys, in the region of an authority."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        region: Region,
        watch: ChangeWatch[Watched],
        known: set[PrincipalTarget],
    ) -> None:
        """Add the keys whose policies are watched to ``known``."""
        self.authority = authority
        self.watch = watch
        self.known = known
        self._principals = Principals(region)
        self._with_times: set[PrincipalTarget] = set()

    async def of_signer(self, signer: HandshakeSigner) -> AccessKeyDevice:
        """Return the client that signed an opening handshake; raise DeviceRefused if its key has ended meanwhile."""
        return await self.of_target(signer.target)

    async def of_target(self, target: AccessKeyTarget) -> AccessKeyDevice:
        """Return the client with an access key; raise DeviceRefused if the key has ended."""
        key = await self.valid_key(target)
        self.known.add(target)
        source = _KnownAccessKey(self, target, user_arn(target.scope, key.user_name))
        return AccessKeyDevice(target.scope, target.principal_id, key.expires_at or _NEVER, source)

    async def valid_key(self, target: AccessKeyTarget) -> AccessKey:
        """Return the access key; raise DeviceRefused if it does not exist, has expired, or is another user's."""
        key = await read_access_key(self.authority.store, target.access_key_id)
        if key is None or key.account != target.scope.account or access_key_target(key, target.scope.region) != target:
            raise DeviceRefused(DeviceRefusal.ACCESS_KEY_INVALID, target.scope)
        if key.expires_at is not None and key.expires_at <= self.authority.clock.now():
            raise DeviceRefused(DeviceRefusal.ACCESS_KEY_INVALID, target.scope)
        return key

    def principal_of(self, key: AccessKey, scope: Scope) -> Principal:
        """Return the user with the key's policy; raise DeviceRefused if the policy cannot be read."""
        try:
            return self._principals.principal_of(key)
        except AccessDenied as error:
            raise DeviceRefused(DeviceRefusal.ACCESS_KEY_INVALID, scope, error.message) from error

    def note_times(self, target: AccessKeyTarget, principal: Principal) -> None:
        """Record whether the decisions about a key's connections depend on the time."""
        if all(_TIMES.isdisjoint(policy.condition_keys) for policy in principal.policies):
            self._with_times.discard(target)
        else:
            self._with_times.add(target)

    def with_times(self) -> frozenset[PrincipalTarget]:
        """Return the watched keys whose policies must be decided again because time has passed."""
        self._with_times &= self.known
        return frozenset(self._with_times)


def access_key_target(key: AccessKey, region: Region) -> AccessKeyTarget:
    """Return the access key as the principal of connections."""
    scope = Scope(key.account, region)
    return AccessKeyTarget(scope, user_id(user_arn(scope, key.user_name)), key.access_key_id)


class _KnownAccessKey(Struct, frozen=True):
    """The source of a client with an access key. A connection keeps it, so it is small."""

    owner: AccessKeyDevices
    target: AccessKeyTarget
    user_arn: str

    async def read(self) -> Principal:
        """Return the user with the key's policy as it is now, and watch it; raise DeviceRefused."""
        # Also for a will that is due long after the connection, so that the watch on it is removed later.
        self.owner.known.add(self.target)
        return await self.owner.watch.read(self.target, self._current)

    async def _current(self) -> tuple[Principal, frozenset[str]]:
        key = await self.owner.valid_key(self.target)
        return self.owner.principal_of(key, self.target.scope), frozenset({self.user_arn})
