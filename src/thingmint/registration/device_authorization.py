"""Owns what is known of a device when its policies are asked: who it is, as which thing it connects, what binds it.

One snapshot of the registry answers all of it. Refuses to know sockets and who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thingmint.core.device_context import DeviceConnection, connected_thing, device_context
from thingmint.core.device_policy import policy_not_found
from thingmint.core.errors import InvalidRequest, LimitExceeded
from thingmint.core.identifiers import PolicyName, Scope, ThingName
from thingmint.core.policy_simulation import AuthRequest, AuthResult, NamedPolicy, simulation
from thingmint.core.policy_target import CertificateTarget, CognitoTarget, target_not_found
from thingmint.core.thing import Thing
from thingmint.issuance.certificate_attributes import certificate_attributes
from thingmint.registration.authority import RegistrationAuthority
from thingmint.registration.compiled_policies import Versions, read_with_policies
from thingmint.registration.paging import PageRequest
from thingmint.registration.ports import Transaction
from thingmint.registration.steps import Steps
from thingmint.registration.verbs.policies import VersionKey
from thingmint.registration.verbs.policy_attachments import Beginning

# A test is answered in one go; no target has more policies either.
MAX_ADDED = 10

_FIRST = PageRequest(1, None, ascending=True)


@dataclass(frozen=True, slots=True)
class BoundDevice:
    """A device and the policies in force for it, parsed, with the ARNs of everything that decided so."""

    connection: DeviceConnection
    policies: tuple[NamedPolicy, ...]
    depends_on: frozenset[str]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Policies that are taken to be attached, or not to be, whatever the registry says."""

    added: Sequence[PolicyName] = ()
    skipped: Sequence[PolicyName] = ()


def bound_device(
    transaction: Transaction,
    versions: Versions,
    principal: CertificateTarget | CognitoTarget,
    scope: Scope,
    client_id: str | None,
) -> Steps[BoundDevice]:
    """Return the device with this principal and client ID.

    Raises ResourceNotFound for an unknown certificate, NotCompiled for `read_with_policies`.
    """
    connection = DeviceConnection(client_id)
    if isinstance(principal, CertificateTarget):
        connection = yield from _certificate_connection(transaction, principal, client_id)
    found = yield from transaction.effective_policies(scope, Beginning(principal.name))
    compiled = versions.policies_of(each.key for each in found.policies)
    policies = tuple(
        NamedPolicy(each.name, each.arn, policy) for each, policy in zip(found.policies, compiled, strict=True)
    )
    return BoundDevice(connection, policies, found.depends_on)


async def simulated(
    authority: RegistrationAuthority,
    scope: Scope,
    principal: CertificateTarget | CognitoTarget | None,
    client_id: str | None,
    requests: Sequence[AuthRequest],
    what_if: WhatIf,
) -> tuple[AuthResult, ...]:
    """Return what the policies of the principal would say to each request, policies added and skipped as asked.

    Raises ResourceNotFound for an unknown certificate or policy, LimitExceeded for too much work, InvalidRequest
    if there is neither a principal nor a policy.
    """
    added = dict.fromkeys(what_if.added)
    if principal is None and not added:
        raise InvalidRequest("A principal is required unless policies are added")
    if len(added) > MAX_ADDED:
        raise LimitExceeded(f"At most {MAX_ADDED} policies can be added to a test, not {len(added)}")

    def program(transaction: Transaction, versions: Versions) -> Steps[BoundDevice]:
        device = BoundDevice(DeviceConnection(client_id), (), frozenset())
        if principal is not None:
            device = yield from bound_device(transaction, versions, principal, scope, client_id)
        attached = {policy.name: policy for policy in device.policies}
        for name in added:
            attached[name] = yield from _policy(transaction, versions, scope, name)
        kept = tuple(policy for name, policy in attached.items() if name not in what_if.skipped)
        return BoundDevice(device.connection, kept, device.depends_on)

    device = await read_with_policies(authority.store, authority.compiled_policies, program)
    return await authority.turns.run(simulation(requests, device.policies, device_context(device.connection)))


def _certificate_connection(
    transaction: Transaction, target: CertificateTarget, client_id: str | None
) -> Steps[DeviceConnection]:
    certificate = yield from transaction.certificate(target.scope, target.certificate_id)
    if certificate is None:
        raise target_not_found(target.name)
    return DeviceConnection(
        client_id=client_id,
        certificate_id=target.certificate_id,
        certificate_names=certificate_attributes(certificate.der),
        thing=(yield from _connected_thing(transaction, target, client_id)),
    )


def _connected_thing(transaction: Transaction, target: CertificateTarget, client_id: str | None) -> Steps[Thing | None]:
    # An exclusive attachment is the only one of its principal; any other counts by the client ID alone.
    first = yield from transaction.things_of_principal(target.scope, target.name, _FIRST)
    candidates = [entry.item for entry in first]
    if client_id is not None:
        named = yield from transaction.attachment(target.scope, ThingName(client_id), target.name)
        candidates += [] if named is None else [named]
    known = []
    for candidate in candidates:
        thing = yield from transaction.thing(target.scope, candidate.thing_name)
        known += [] if thing is None else [(thing, candidate.type)]
    return connected_thing(client_id or "", known)


def _policy(transaction: Transaction, versions: Versions, scope: Scope, name: PolicyName) -> Steps[NamedPolicy]:
    found = yield from transaction.policy_with_version(scope, name, None)
    policy, version = found or (None, None)
    if policy is None or version is None:
        raise policy_not_found(name)
    key = VersionKey(scope, name, policy.generation_id, version.version, version.created_at)
    (compiled,) = versions.policies_of([key])
    return NamedPolicy(name, policy.arn, compiled)
