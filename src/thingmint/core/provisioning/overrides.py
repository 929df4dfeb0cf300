"""Owns the changes that a provisioning plan makes to an existing thing, its groups and a certificate. Does no I/O.

As at AWS, FAIL refuses a thing that exists. There is one exception: a certificate that is attached to the thing already
repeats its own registration. It is refused only if a property with FAIL would change.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from thingmint.core.certificates.certificate import Certificate, CertificateStatus, with_status
from thingmint.core.errors import RegistrationFailed, UpdateConflict
from thingmint.core.identifiers import Scope, ThingGroupName, ThingTypeName
from thingmint.core.provisioning.plan import CertificatePlan, ThingPlan
from thingmint.core.provisioning.resources import Override
from thingmint.core.registry.attributes import AttributePayload, Attributes
from thingmint.core.registry.thing import Thing

# A certificate with one of these statuses was never in use, so a registration undoes nothing.
_WAITING = frozenset({CertificateStatus.PENDING_ACTIVATION, CertificateStatus.REGISTER_INACTIVE})
_SETTLED = frozenset({CertificateStatus.ACTIVE, CertificateStatus.INACTIVE})


def new_thing(scope: Scope, planned: ThingPlan, thing_id: str, at: datetime) -> Thing:
    """Return the new thing; raise InvalidRequest if it has too many attributes."""
    payload = AttributePayload(planned.attributes)
    return Thing(
        scope=scope,
        name=planned.name,
        thing_id=thing_id,
        created_at=at,
        type_name=planned.type_name,
        billing_group_name=planned.billing_group,
        attributes=payload.applied_to(Attributes()),
    )


def ensure_may_exist(planned: ThingPlan, *, is_attached: bool) -> None:
    """Raise UpdateConflict if the plan's thing exists and one of its settings is FAIL.

    ``is_attached`` is true if the plan's certificate is attached to the thing already: the device repeats its request
    because the answer was lost, which is not a conflict.
    """
    settings = {planned.override_attributes, planned.override_type, planned.override_groups}
    if Override.FAIL in settings and not is_attached:
        raise UpdateConflict(f"The thing {planned.name} exists already")


def overridden_thing(thing: Thing, planned: ThingPlan) -> Thing:
    """Return the thing after the plan's changes, one version later; the same object if nothing changes.

    Raises UpdateConflict if the plan forbids the change, InvalidRequest for too many attributes.
    The billing group does not change, because no setting overrides it.
    """
    changed = replace(thing, type_name=_type(thing, planned), attributes=_attributes(thing, planned))
    return thing if changed == thing else replace(changed, version=thing.version + 1)


def groups_to_change(
    thing: Thing, current: Collection[ThingGroupName], planned: ThingPlan
) -> tuple[tuple[ThingGroupName, ...], tuple[ThingGroupName, ...]]:
    """Return the groups that a thing leaves and those that it joins; raise UpdateConflict if the plan forbids it."""
    wanted = planned.groups
    if wanted is None or planned.override_groups is Override.DO_NOTHING:
        return (), ()
    joined = tuple(name for name in wanted if name not in current)
    left = tuple(name for name in current if name not in wanted)
    if planned.override_groups is Override.FAIL and (joined or left):
        raise _conflict(thing, "ThingGroups")
    return (() if planned.override_groups is Override.MERGE else left), joined


def provisioned_certificate(certificate: Certificate, planned: CertificatePlan, at: datetime) -> Certificate:
    """Return the certificate with the status of the plan; the same object if nothing changes.

    Raises RegistrationFailed if it is revoked or in transfer, UpdateConflict if the plan forbids the change.
    """
    if certificate.status in _WAITING:
        return with_status(certificate, planned.status, at)
    if certificate.status not in _SETTLED:
        raise RegistrationFailed(f"The certificate {certificate.certificate_id} is {certificate.status}")
    if certificate.status is planned.status or planned.override_status is Override.DO_NOTHING:
        return certificate
    if planned.override_status is Override.FAIL:
        raise UpdateConflict(f"The certificate {certificate.certificate_id} is {certificate.status} already")
    return with_status(certificate, planned.status, at)


def _type(thing: Thing, planned: ThingPlan) -> ThingTypeName | None:
    wanted = planned.type_name
    if wanted is None or wanted == thing.type_name or planned.override_type is Override.DO_NOTHING:
        return thing.type_name
    if planned.override_type is Override.FAIL:
        raise _conflict(thing, "ThingTypeName")
    return wanted


def _attributes(thing: Thing, planned: ThingPlan) -> Attributes:
    if planned.attributes is None or planned.override_attributes is Override.DO_NOTHING:
        return thing.attributes
    payload = AttributePayload(planned.attributes, merge=planned.override_attributes is Override.MERGE)
    changed = payload.applied_to(thing.attributes)
    if planned.override_attributes is Override.FAIL and changed != thing.attributes:
        raise _conflict(thing, "AttributePayload")
    return changed


def _conflict(thing: Thing, name: str) -> UpdateConflict:
    return UpdateConflict(f"The thing {thing.name} exists with another {name}")
