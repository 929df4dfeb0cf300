"""Owns the data for decisions about a device: its certificate, its thing and its parsed policies.

All of it is read from one snapshot of the registry. `registration.policies.in_force` decides which policies are in
force. Independent of sockets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msgspec import Struct, structs

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.errors import InvalidRequest, LimitExceeded
from thingmint.core.identifiers import PolicyName, Scope
from thingmint.core.policies.certificate_variables import CERTIFICATE_PREFIX
from thingmint.core.policies.device_context import ConnectionContext, device_context
from thingmint.core.policies.simulation import AuthRequest, AuthResult, NamedPolicy, simulation
from thingmint.core.policies.stored_policy import policy_not_found
from thingmint.core.policies.target import CertificateTarget, PolicyTarget, target_not_found
from thingmint.issuance.foreign.attributes import certificate_attributes
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies.policies import VersionKey
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.compiled_policies import Versions, read_with_policies
from thingmint.registration.policies.in_force import in_force
from thingmint.registration.policies.policy_attachments import require_target

# The maximum number of policies that a test adds. A target cannot have more policies either.
MAX_ADDED = 10


class BoundDevice(Struct, frozen=True):
    """A device and its parsed policies in force, with the ARNs of everything that they depend on.

    ``other_things`` are policies that are not or only partly in force, because they are attached to groups of things
    that the client does not connect as.
    """

    connection: ConnectionContext
    policies: tuple[NamedPolicy, ...]
    depends_on: frozenset[str]
    other_things: tuple[NamedPolicy, ...] = ()


class PolicyOverrides(Struct, frozen=True):
    """Policies that TestAuthorization adds to those of the registry or skips."""

    added: Sequence[PolicyName] = ()
    skipped: Sequence[PolicyName] = ()


def bound_device(
    versions: Versions, target: PolicyTarget, scope: Scope, client_id: str | None, *, always_with_names: bool = False
) -> Steps[BoundDevice]:
    """Return the device that connects as this target with this client ID.

    The names in its certificate are parsed only if one of its policies refers to them, or if ``always_with_names``. A
    thing group stands for a device that has only the group's policies. Raises ResourceNotFound for an unknown target,
    NotCompiled for `read_with_policies`.
    """
    certificate: Certificate | None = None
    if isinstance(target, CertificateTarget):
        certificate = yield from certificate_table.certificate(target.scope, target.certificate_id)
        if certificate is None:
            raise target_not_found(target.name)
    else:
        yield from require_target(target)
    found = yield from in_force(scope, target, client_id)
    compiled = versions.policies_of(each.stored.key for each in found.policies)
    policies, other_things = [], []
    for each, policy in zip(found.policies, compiled, strict=True):
        named = NamedPolicy(each.stored.name, each.stored.arn, each.in_force_of(policy))
        policies += [named] if named.policy.statements else []
        other_things += [replace(named, policy=policy)] if each.only_denies else []
    connection = ConnectionContext(client_id, thing=found.thing)
    if certificate is not None:
        # To parse them takes about as long as to read all policies, and few policies refer to them.
        with_names = always_with_names or any(policy.asks_for(CERTIFICATE_PREFIX) for policy in compiled)
        names = certificate_attributes(certificate.der) if with_names else {}
        connection = replace(connection, certificate_id=certificate.certificate_id, certificate_names=names)
    return BoundDevice(connection, tuple(policies), found.depends_on, tuple(other_things))


async def read_device(authority: RegistrationAuthority, target: CertificateTarget, client_id: str) -> BoundDevice:
    """Return the device that connects with this certificate and client ID.

    Raises ResourceNotFound for an unknown certificate, MalformedPolicy if a stored document cannot be parsed.
    """

    def program(versions: Versions) -> Steps[BoundDevice]:
        return bound_device(versions, target, target.scope, client_id)

    return await read_with_policies(authority.store, authority.compiled_policies, program)


async def simulated(
    authority: RegistrationAuthority,
    scope: Scope,
    principal: PolicyTarget | None,
    client_id: str | None,
    requests: Sequence[AuthRequest],
    overrides: PolicyOverrides,
) -> tuple[AuthResult, ...]:
    """Return the decision of the principal's policies about each request, with policies added and skipped.

    Raises ResourceNotFound for an unknown principal or policy, LimitExceeded for too much work, InvalidRequest
    if there is neither a principal nor a policy.
    """
    added = dict.fromkeys(overrides.added)
    if principal is None and not added:
        raise InvalidRequest("A principal is required unless policies are added")
    if len(added) > MAX_ADDED:
        raise LimitExceeded(f"At most {MAX_ADDED} policies can be added to a test, not {len(added)}")

    def program(versions: Versions) -> Steps[BoundDevice]:
        device = BoundDevice(ConnectionContext(client_id), (), frozenset())
        if principal is not None:
            # An added policy may refer to the names.
            device = yield from bound_device(versions, principal, scope, client_id, always_with_names=True)
        attached = {policy.name: policy for policy in device.policies}
        for name in added:
            attached[name] = yield from _policy(versions, scope, name)
        skipped = frozenset(overrides.skipped)
        kept = tuple(policy for name, policy in attached.items() if name not in skipped)
        return structs.replace(device, policies=kept)

    device = await read_with_policies(authority.store, authority.compiled_policies, program)
    other_things = () if client_id is not None else device.other_things
    context = device_context(device.connection)
    return await authority.computations.run(simulation(requests, device.policies, context, other_things))


def _policy(versions: Versions, scope: Scope, name: PolicyName) -> Steps[NamedPolicy]:
    found = yield from policy_table.policy_with_version(scope, name, None)
    policy, version = found or (None, None)
    if policy is None or version is None:
        raise policy_not_found(name)
    key = VersionKey(scope, name, policy.generation_id, version.version, version.created_at)
    (compiled,) = versions.policies_of([key])
    return NamedPolicy(name, policy.arn, compiled)
