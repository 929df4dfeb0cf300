"""Owns which policies are in force for a connection, and which thing it connects as.

Does not decide requests.

The gateway, TestAuthorization and GetEffectivePolicies all call `in_force`. For a certificate and a client ID, the
default versions of these policies are in force: those attached

- to the certificate, and
- to the thing groups, and the groups above them, of the thing that the client connects as. This is the thing to which
  the certificate is attached exclusively. Otherwise it is the attached thing whose name is the client ID (developer
  guide, "AWS IoT Core policies": "the clientId and the thing name must match").

If a policy is attached only to groups of the certificate's other things, only its denying statements are in force.
"""

from __future__ import annotations

from msgspec import Struct

from thingmint.core.identifiers import Scope, ThingName, is_thing_name, thing_arn
from thingmint.core.paging import PageRequest
from thingmint.core.policies.device_context import connected_thing
from thingmint.core.policies.language import Policy
from thingmint.core.policies.target import CertificateTarget, PolicyTarget
from thingmint.core.registry.thing import Thing
from thingmint.records.policies import policy_attachments as policy_attachment_table
from thingmint.records.policies.policy_attachments import EffectivePolicies, EffectivePolicy, PolicySearchStart
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry import things as thing_table
from thingmint.records.steps import Steps
from thingmint.registration.policies.policy_attachments import beginning_of

_FIRST = PageRequest(1, None, ascending=True)


class PolicyInForce(Struct, frozen=True):
    """A policy with either all statements or only its denying statements in force."""

    stored: EffectivePolicy
    only_denies: bool

    def in_force_of(self, policy: Policy) -> Policy:
        """Return the parsed policy with only the statements in force, which may be none."""
        return policy.denying() if self.only_denies else policy


class InForce(Struct, frozen=True):
    """The policies in force in the order of their attachment, and the thing that the client connects as.

    ``depends_on`` has the ARNs of everything that the result depends on, for any client ID of the certificate, because
    connections of one certificate share one watch.
    """

    policies: tuple[PolicyInForce, ...]
    depends_on: frozenset[str]
    thing: Thing | None = None


def in_force(scope: Scope, target: PolicyTarget, client_id: str | None) -> Steps[InForce]:
    """Return the policies in force for a client with this ID that connects as the target; None is an unknown ID."""
    found = yield from policy_attachment_table.effective_policies(scope, beginning_of(target))
    if not isinstance(target, CertificateTarget):
        return InForce(tuple(PolicyInForce(each, only_denies=False) for each in found.policies), found.depends_on)
    thing = yield from _thing_of(target, client_id)
    counting = {target.name} | (yield from _groups_of(scope, thing, found))
    policies = tuple(PolicyInForce(each, only_denies=counting.isdisjoint(each.targets)) for each in found.policies)
    return InForce(policies, found.depends_on, thing)


def _thing_of(target: CertificateTarget, client_id: str | None) -> Steps[Thing | None]:
    # An exclusive attachment is the only one of its principal. For other attachments only the client ID counts.
    first = yield from thing_principal_table.things_of_principal(target.scope, target.name, _FIRST)
    candidates = [entry.item for entry in first]
    if client_id is not None and is_thing_name(client_id):
        named = yield from thing_principal_table.attachment(target.scope, ThingName(client_id), target.name)
        candidates += [] if named is None else [named]
    known = []
    for candidate in candidates:
        thing = yield from thing_table.thing(target.scope, candidate.thing_name)
        known += [] if thing is None else [(thing, candidate.type)]
    return connected_thing(client_id or "", known)


def _groups_of(scope: Scope, thing: Thing | None, found: EffectivePolicies) -> Steps[frozenset[str]]:
    """Return the ARNs of the thing's groups and the groups above them. They may include ARNs without policies."""
    if thing is None:
        return frozenset()
    things = thing_arn(scope, ThingName(""))
    if all(arn == thing.arn for arn in found.depends_on if arn.startswith(things)):
        # Most certificates have one thing, so everything that was found belongs to it.
        return found.depends_on
    return (
        yield from policy_attachment_table.effective_policies(scope, PolicySearchStart(thing_name=thing.name))
    ).depends_on
