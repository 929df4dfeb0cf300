"""Owns the attachments of certificates to things. Independent of HTTP and SQL.

A function that returns `Steps` is a step, which other programs can include. Every program
locks the thing before the certificate, so that two programs cannot deadlock.
"""

from __future__ import annotations

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import Scope, ThingName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.policies.target import CertificateTarget, parse_principal
from thingmint.core.registry.thing import Thing, ThingPrincipalType
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.paging import read_listed
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry import things as thing_table
from thingmint.records.registry.thing_principals import Attachment
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.registry.things import found_thing, thing_for_update

_ONE = PageRequest(1, None, ascending=True)
_EXCLUSIVE = ThingPrincipalType.EXCLUSIVE_THING


def parse_certificate(scope: Scope, principal: str) -> CertificateTarget:
    """Return the certificate that the ARN names.

    Raises InvalidRequest unless it is the ARN of one, ResourceNotFound for one of another account or region.
    """
    target = parse_principal(scope, principal)
    if not isinstance(target, CertificateTarget):
        raise InvalidRequest(f"Certificates can be attached to things, not {target.name}")
    return target


def attach_certificate(thing: Thing, target: CertificateTarget, type_: ThingPrincipalType | None = None) -> Steps[bool]:
    """Attach the certificate to a thing that the transaction has locked; return whether that changed anything.

    Without a type, an existing attachment does not change and a new one is not exclusive. Raises ResourceNotFound if
    there is no such certificate, InvalidRequest if the types of this attachment and of existing ones exclude each
    other, or if a transfer of the certificate is pending.
    """
    certificate = yield from certificate_table.certificate_for_update(target.scope, target.certificate_id)
    _require_attachable(_found(certificate, target))
    present = yield from thing_principal_table.attachment(thing.scope, thing.name, target.name)
    if present is not None:
        _require_same_type(present, type_)
        return False
    attachment = Attachment(thing.name, target.name, type_ or ThingPrincipalType.NON_EXCLUSIVE_THING)
    for other in (yield from thing_principal_table.things_of_principal(thing.scope, target.name, _ONE)):
        _require_compatible(attachment, other.item)
    return (yield from thing_principal_table.attach_principal(thing.scope, attachment))


async def attach(
    authority: RegistrationAuthority,
    caller: Caller,
    name: ThingName,
    principal: str,
    type_: ThingPrincipalType | None = None,
) -> None:
    """Attach the certificate to the thing; raise what `attach_certificate` raises, ResourceNotFound for the thing."""
    target, now = parse_certificate(caller.scope, principal), authority.clock.now()

    def program() -> Steps[Change[None]]:
        thing = yield from thing_for_update(caller, name)
        if not (yield from attach_certificate(thing, target, type_)):
            return Change(None, ())
        detail = {} if type_ is None else {"type": type_.value}
        entry = audit_entry(caller, now, "AttachThingPrincipal", thing.arn, certificate=target.name, **detail)
        return Change(None, (entry,), (thing.arn, target.name))

    await change(authority, program)


async def detach(authority: RegistrationAuthority, caller: Caller, name: ThingName, principal: str) -> None:
    """Detach the certificate from the thing; do nothing if it is not attached.

    Raises ResourceNotFound if the thing or the certificate does not exist, InvalidRequest for another principal.
    """
    target, now = parse_certificate(caller.scope, principal), authority.clock.now()

    def program() -> Steps[Change[None]]:
        thing = yield from thing_for_update(caller, name)
        if not (yield from thing_principal_table.detach_principal(caller.scope, name, target.name)):
            # Checked only now, because an attached certificate exists.
            _found((yield from certificate_table.certificate(target.scope, target.certificate_id)), target)
            return Change(None, ())
        entry = audit_entry(caller, now, "DetachThingPrincipal", thing.arn, certificate=target.name)
        return Change(None, (entry,), (thing.arn, target.name))

    await change(authority, program)


async def list_principals(
    authority: RegistrationAuthority,
    caller: Caller,
    name: ThingName,
    request: PageRequest,
    type_: ThingPrincipalType | None = None,
) -> Page[Attachment]:
    """Return a page of the thing's principals, of one type or both; raise ResourceNotFound for the thing."""

    def program() -> Steps[Page[Attachment]]:
        found_thing((yield from thing_table.thing(caller.scope, name)), name)
        return (
            yield from read_listed(
                request, lambda page: thing_principal_table.principals_of_thing(caller.scope, name, page, type_)
            )
        )

    return await authority.store.read(program)


async def list_things(
    authority: RegistrationAuthority,
    caller: Caller,
    principal: str,
    request: PageRequest,
    type_: ThingPrincipalType | None = None,
) -> Page[Attachment]:
    """Return a page of the things that the certificate is attached to.

    Raises ResourceNotFound if there is no such certificate, InvalidRequest for another principal.
    """
    target = parse_certificate(caller.scope, principal)

    def program() -> Steps[Page[Attachment]]:
        _found((yield from certificate_table.certificate(target.scope, target.certificate_id)), target)
        page = yield from read_listed(
            request, lambda page: thing_principal_table.things_of_principal(caller.scope, target.name, page)
        )
        # All attachments of a principal have the same type, and an exclusive attachment is the only one.
        wanted = all(type_ in (None, attachment.type) for attachment in page.items)
        return page if wanted else Page((), None)

    return await authority.store.read(program)


def _found(certificate: Certificate | None, target: CertificateTarget) -> Certificate:
    if certificate is None:
        raise ResourceNotFound(f"The certificate given in the principal does not exist. Principal: {target.name}")
    return certificate


def _require_attachable(certificate: Certificate) -> None:
    # A transfer moves only the certificate, not its attachments.
    if certificate.status is CertificateStatus.PENDING_TRANSFER:
        raise InvalidRequest(f"The certificate is being transferred to another account. Principal: {certificate.arn}")


def _require_same_type(present: Attachment, asked: ThingPrincipalType | None) -> None:
    if asked not in (None, present.type):
        raise InvalidRequest(
            f"The principal is attached to thing {present.thing_name} as {present.type}. Detach it first to attach it "
            f"as {asked}"
        )


def _require_compatible(attachment: Attachment, other: Attachment) -> None:
    if other.type is _EXCLUSIVE:
        raise InvalidRequest(f"The principal is attached exclusively to thing {other.thing_name}")
    if attachment.type is _EXCLUSIVE:
        raise InvalidRequest(
            f"The principal is attached to thing {other.thing_name} and cannot be attached exclusively to another"
        )
