"""Owns what a provisioning plan makes of what exists already: the override settings of provisioning templates.

Pure functions from the present to what shall be; refuses to know who carries it out, and when it is a first time.
"""

from dataclasses import replace

from thingmint.core.attributes import AttributePayload, Attributes
from thingmint.core.certificate import CertificateStatus
from thingmint.core.errors import UpdateConflict
from thingmint.core.identifiers import ThingGroupName
from thingmint.core.provisioning_plan import CertificatePlan, ThingPlan
from thingmint.core.template_resources import Override
from thingmint.core.thing import Thing, ThingUpdate, updated

# A certificate that waits gets the plan's status whatever the settings: nobody chose the one that it has.
_UNDECIDED = frozenset({CertificateStatus.PENDING_ACTIVATION, CertificateStatus.REGISTER_INACTIVE})


def ensure_may_exist(plan: ThingPlan, *, repeated: bool) -> None:
    """Raise UpdateConflict if the plan's thing exists and a setting is FAIL.

    ``repeated`` tells that the certificate is attached to the thing already: a device that asks once more, because the
    answer was lost, is no conflict.
    """
    settings = (plan.override_attributes, plan.override_type, plan.override_groups)
    if Override.FAIL in settings and not repeated:
        raise UpdateConflict(f"The thing {plan.name} exists already")


def overridden_thing(thing: Thing, plan: ThingPlan) -> Thing:
    """Return the thing as the plan wants it, one version later; the same thing if it is so already.

    Raises InvalidRequest if the thing would have more attributes than it may.
    """
    changes_attributes = plan.override_attributes in (Override.REPLACE, Override.MERGE)
    payload = AttributePayload(
        plan.attributes if changes_attributes else None, merge=plan.override_attributes is Override.MERGE
    )
    type_name = plan.type_name if plan.override_type is Override.REPLACE else None
    wanted = updated(thing, ThingUpdate(type_name=type_name, payload=payload))
    return thing if replace(wanted, version=thing.version) == thing else wanted


def new_thing_attributes(plan: ThingPlan) -> Attributes:
    """Return the attributes of a thing that does not exist yet; those without a value are left out, as in updates."""
    return AttributePayload(plan.attributes).applied_to(Attributes())


def overridden_groups(current: tuple[ThingGroupName, ...], plan: ThingPlan) -> tuple[ThingGroupName, ...]:
    """Return the groups that a thing shall belong to, the present ones first."""
    if plan.groups is None:
        return current
    if plan.override_groups is Override.REPLACE:
        return plan.groups
    if plan.override_groups is Override.MERGE:
        return tuple(dict.fromkeys((*current, *plan.groups)))
    return current


def overridden_status(current: CertificateStatus, plan: CertificatePlan) -> CertificateStatus:
    """Return the status that a certificate shall have; raise UpdateConflict if it differs and the setting is FAIL.

    Whether a certificate may change to it at all is the certificate's own rule: a revoked one stays revoked.
    """
    if current is plan.status or current in _UNDECIDED or plan.override_status is Override.REPLACE:
        return plan.status
    if plan.override_status is Override.FAIL:
        raise UpdateConflict(f"The certificate is {current} already, not {plan.status}")
    return current
