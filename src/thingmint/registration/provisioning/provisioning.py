"""Owns the execution of provisioning plans for every edge. A plan is one transaction.

A repeated plan finds everything in the planned state and changes nothing, so a device whose answer was lost can repeat
the request.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from msgspec import Struct, field, structs

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate
from thingmint.core.errors import (
    CertificateConflict,
    CertificateInvalid,
    CertificateStateRefused,
    DuplicateCertificate,
    LimitExceeded,
    RegistrationFailed,
    ResourceExists,
    ResourceNotFound,
)
from thingmint.core.identifiers import Scope, ThingName, policy_arn, thing_arn
from thingmint.core.policies.target import CertificateTarget
from thingmint.core.provisioning.plan import ProvisioningPlan, plan
from thingmint.core.provisioning.production import production_details
from thingmint.core.provisioning.stored_template import ProvisioningTemplate, TemplateNotFound
from thingmint.core.provisioning.template import Template, TemplateKind, parse_template
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.core.registry.thing import Thing
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.policies.policy_attachments import attached
from thingmint.registration.provisioning.provisioning_certificate import (
    GivenCertificate,
    given_certificate,
    held_certificate,
)
from thingmint.registration.provisioning.provisioning_permissions import require_groups_not_denied, require_role
from thingmint.registration.provisioning.provisioning_steps import certificate_step, policy_step, thing_step
from thingmint.registration.provisioning.provisioning_templates import require_template
from thingmint.registration.registry.thing_principals import attach_certificate

# A fleet has few templates, and the registration of every device parses one.
_PARSED_TEMPLATES = 64

# The errors that AWS reports as a failed registration: the request was valid, but the registry refused it.
_FAILURES = (
    CertificateConflict,
    CertificateInvalid,
    CertificateStateRefused,
    DuplicateCertificate,
    LimitExceeded,
    ResourceExists,
    ResourceNotFound,
)


class Provisioned(Struct, frozen=True):
    """The result of a plan: certificate and thing if it has them, ARNs by logical id, the device's configuration."""

    certificate: Certificate | None
    thing_name: ThingName | None
    resource_arns: Mapping[str, str]
    device_configuration: Mapping[str, str]


class Once(Protocol):
    """A request that is executed at most once for its credential."""

    def begin(self) -> Steps[Provisioned | None]:
        """Return the result of the same earlier request; None if this is the first, for which others then wait."""
        ...

    def end(self, done: Provisioned) -> Steps[None]:
        """Store the result of the request."""
        ...


class Run(Struct, frozen=True):
    """One execution of a plan: its caller, its time, and the ids for a new thing.

    ``production`` is added to the details of the audit entries.
    """

    caller: Caller
    plan: ProvisioningPlan
    given: GivenCertificate | None
    thing_id: str
    policy_ids: tuple[str, ...]
    at: datetime
    production: Mapping[str, str] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        """The account and region of the registry."""
        return self.caller.scope


@lru_cache(maxsize=_PARSED_TEMPLATES)
def parsed_template(body: str, kind: TemplateKind) -> Template:
    """Return the template of a body; raise InvalidRequest with the place and the reason if it is not valid."""
    return parse_template(body, kind)


async def register_thing(
    authority: RegistrationAuthority, caller: Caller, body: str, parameters: Mapping[str, str]
) -> Provisioned:
    """Apply a template from the caller's request.

    Parameters about the device's production are added to the audit entries. Raises what `provision` raises,
    InvalidParameters, and AccessDenied if a policy denies that the thing leaves a group.
    """
    planned = plan(parsed_template(body, TemplateKind.REGISTER_THING), parameters)
    production = production_details(parameters)
    await require_groups_not_denied(authority, caller, planned)
    return await provision(authority, caller, planned, production=production)


async def provision(
    authority: RegistrationAuthority,
    caller: Caller,
    planned: ProvisioningPlan,
    *,
    template: ProvisioningTemplate | None = None,
    role_arn: str | None = None,
    once: Once | None = None,
    production: Mapping[str, str] | None = None,
    given: GivenCertificate | None = None,
) -> Provisioned:
    """Execute the plan and return its result.

    ``given`` is the plan's certificate if it was issued for the plan and is stored with it. The role of the template,
    or ``role_arn``, must allow the plan. After an error nothing of the plan is stored. Raises AccessDenied if the role
    does not allow it, InvalidRequest for invalid values, UpdateConflict if the plan forbids a change,
    RegistrationFailed if a resource of the plan does not exist or does not allow it, TemplateNotFound if the template
    was deleted meanwhile.
    """

    def program(run: Run) -> Steps[Change[Provisioned]]:
        earlier = None if once is None else (yield from once.begin())
        if earlier is not None:
            return Change(earlier, ())
        if template is not None:
            yield from require_template(caller, template)
        done = yield from run_steps(run, template)
        if once is not None:
            yield from once.end(done.result)
        return done

    try:
        role = role_arn if template is None else template.role_arn
        run = await prepared_run(authority, caller, planned, role, given)
        run = structs.replace(run, production=production or {})
        return await change(authority, lambda: program(run))
    except TemplateNotFound:
        raise
    except _FAILURES as error:
        raise RegistrationFailed(error.message) from error


async def prepared_run(
    authority: RegistrationAuthority,
    caller: Caller,
    planned: ProvisioningPlan,
    role_arn: str | None = None,
    given: GivenCertificate | None = None,
) -> Run:
    """Return the input of the transaction, after all signatures and the check of the role.

    Raises what `given_certificate` raises, AccessDenied if the role does not allow all of the plan.
    """
    if given is None and planned.certificate is not None:
        given = await given_certificate(authority, caller, planned.certificate)
    await require_role(authority, caller, role_arn, planned, given)
    return Run(
        caller=caller,
        plan=planned,
        given=given,
        thing_id=authority.new_generation_id(),
        policy_ids=tuple(authority.new_generation_id() for _ in planned.policies),
        at=authority.clock.now(),
    )


def run_steps(run: Run, template: ProvisioningTemplate | None = None) -> Steps[Change[Provisioned]]:
    """Execute a plan as steps of a transaction; return its result and the audit entries of its changes."""
    planned, scope = run.plan, run.scope
    changes: list[str] = []
    for policy, policy_id in zip(planned.policies, run.policy_ids, strict=True):
        if (yield from policy_step(scope, policy, policy_id, run.at)):
            changes.append("policy")
    thing, events = None, tuple[RegistryEvent, ...]()
    if planned.thing is not None:
        certificate_id = None if run.given is None else run.given.certificate_id
        thing, events = yield from thing_step(scope, planned.thing, certificate_id, run.thing_id, run.at)
        changes += ["thing"] if events else []
    certificate = None
    if run.given is not None:
        certificate = yield from _certificate(run, run.given, thing, changes)
    thing_name = None if thing is None else thing.name
    done = Provisioned(certificate, thing_name, _arns(run, certificate), planned.device_configuration)
    return structs.replace(_change(run, done, changes, template), events=events)


def _certificate(run: Run, given: GivenCertificate, thing: Thing | None, changes: list[str]) -> Steps[Certificate]:
    planned = given.planned
    before = yield from held_certificate(run.scope, given)
    certificate = yield from certificate_step(before, planned, run.at)
    changes += ["certificate"] if certificate is not before else []
    target = CertificateTarget(run.scope, certificate.certificate_id)
    for policy in run.plan.policies:
        if (yield from attached(run.caller, policy.name, target)):
            changes.append("policy attachment")
    if thing is not None and (yield from attach_certificate(thing, target, planned.thing_principal_type)):
        changes.append("thing attachment")
    return certificate


def _arns(run: Run, certificate: Certificate | None) -> dict[str, str]:
    arns = {policy.logical_id: policy_arn(run.scope, policy.name) for policy in run.plan.policies}
    if run.given is not None and certificate is not None:
        arns[run.given.planned.logical_id] = certificate.arn
    if run.plan.thing is not None:
        arns[run.plan.thing.logical_id] = thing_arn(run.scope, run.plan.thing.name)
    return arns


def _change(
    run: Run, done: Provisioned, changes: list[str], template: ProvisioningTemplate | None
) -> Change[Provisioned]:
    touched = [] if done.certificate is None else [done.certificate.arn]
    if done.thing_name is not None:
        touched.append(thing_arn(run.scope, done.thing_name))
    issued = None if run.given is None else run.given.entry
    entries = [] if issued is None else [replace(issued, detail={**issued.detail, **run.production})]
    if changes:
        entries.append(_entry(run, done, changes, touched, template))
    return Change(done, tuple(entries), tuple(touched) if changes else ())


def _entry(
    run: Run, done: Provisioned, changes: list[str], touched: list[str], template: ProvisioningTemplate | None
) -> AuditEntry:
    detail = {
        "certificate_id": "" if done.certificate is None else done.certificate.certificate_id,
        "status": "" if done.certificate is None else str(done.certificate.status),
        "thing": done.thing_name or "",
        "policies": ",".join(policy.name for policy in run.plan.policies),
        "template": "" if template is None else template.name,
        "changed": ",".join(dict.fromkeys(changes)),
        **run.production,
    }
    resource = (touched or list(done.resource_arns.values()))[0]
    return audit_entry(
        run.caller, run.at, "RegisterThing", resource, **{name: text for name, text in detail.items() if text}
    )
