"""Owns the operations on provisioning templates and their versions."""

from __future__ import annotations

from collections.abc import Mapping

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import DeletionRefused, ResourceNotFound
from thingmint.core.identifiers import TemplateName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.provisioning.stored_template import (
    FIRST_VERSION,
    MAX_TEMPLATES,
    PreProvisioningHook,
    ProvisioningTemplate,
    TemplateEntry,
    TemplateNotFound,
    TemplateType,
    TemplateUpdate,
    TemplateVersion,
    TemplateVersionEntry,
    ensure_usable,
    ensure_version_deletable,
    updated_template,
    with_next_version,
)
from thingmint.core.provisioning.template import TemplateKind, parse_template
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.paging import read_page
from thingmint.records.provisioning import provisioning_templates as provisioning_template_table
from thingmint.records.registry import tags as tag_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.tags import store_tags

_ONE = PageRequest(1, None, ascending=True)


async def create(
    authority: RegistrationAuthority,
    caller: Caller,
    name: TemplateName,
    body: str,
    *,
    kind: TemplateType,
    description: str | None,
    enabled: bool,
    role_arn: str,
    hook: PreProvisioningHook | None,
    tags: Mapping[str, str],
) -> ProvisioningTemplate:
    """Store a new template, its body as the first version, and return it.

    Raises InvalidRequest for an invalid template, ResourceExists if the name exists, LimitExceeded.
    """
    parse_template(body, TemplateKind(kind))
    now = authority.clock.now()
    template = ProvisioningTemplate(
        caller.scope, name, authority.new_generation_id(), kind, description, enabled, role_arn, hook, now, now
    )

    def program() -> Steps[Change[ProvisioningTemplate]]:
        yield from provisioning_template_table.insert_provisioning_template(template, MAX_TEMPLATES)
        yield from provisioning_template_table.insert_template_version(
            template, TemplateVersion(FIRST_VERSION, body, now)
        )
        yield from store_tags(template.arn, tags)
        entry = audit_entry(
            caller, now, "CreateProvisioningTemplate", template.arn, type=kind, enabled=str(enabled).lower()
        )
        return Change(template, (entry,))

    return await change(authority, program)


async def describe(
    authority: RegistrationAuthority, caller: Caller, name: TemplateName
) -> tuple[ProvisioningTemplate, TemplateVersion]:
    """Return the template and its default version; raise ResourceNotFound."""

    def program() -> Steps[tuple[ProvisioningTemplate, TemplateVersion]]:
        template = yield from found_template(caller, name)
        version = yield from _found_version(template, template.default_version)
        return template, version

    return await authority.store.read(program)


async def list_templates(authority: RegistrationAuthority, caller: Caller, request: PageRequest) -> Page[TemplateEntry]:
    """Return a page of the account's templates in the order of their creation."""

    def program() -> Steps[Page[TemplateEntry]]:
        return read_page(request, lambda page: provisioning_template_table.provisioning_templates(caller.scope, page))

    return await authority.store.read(program)


async def update(authority: RegistrationAuthority, caller: Caller, name: TemplateName, update: TemplateUpdate) -> None:
    """Apply the update; raise ResourceNotFound for the template or the version, InvalidRequest."""
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        before = yield from _locked_template(caller, name)
        after = updated_template(before, update, now)
        yield from _found_version(before, after.default_version)
        yield from provisioning_template_table.update_provisioning_template(after)
        entry = audit_entry(
            caller,
            now,
            "UpdateProvisioningTemplate",
            after.arn,
            enabled=str(after.enabled).lower(),
            default_version=str(after.default_version),
            hook="" if after.hook is None else after.hook.target_arn,
        )
        return Change(None, (entry,))

    await change(authority, program)


async def delete(authority: RegistrationAuthority, caller: Caller, name: TemplateName) -> None:
    """Delete the template with all its versions and claims. The connections of the claims end.

    Raises ResourceNotFound, DeletionRefused if a CA certificate uses it.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        template = yield from _locked_template(caller, name)
        if (yield from ca_certificate_table.ca_certificate_summaries(caller.scope, name, _ONE)):
            raise DeletionRefused(f"A CA certificate registers its devices with the provisioning template {name}")
        yield from provisioning_template_table.delete_provisioning_template(template)
        yield from tag_table.delete_tags(template.arn)
        # Connections of its claims depend on the template's ARN.
        return Change(None, (audit_entry(caller, now, "DeleteProvisioningTemplate", template.arn),), (template.arn,))

    await change(authority, program)


async def create_version(
    authority: RegistrationAuthority, caller: Caller, name: TemplateName, body: str, *, as_default: bool
) -> tuple[ProvisioningTemplate, int]:
    """Store the body as the next version; return the template and the version's number.

    Raises ResourceNotFound, VersionsLimitExceeded, InvalidRequest for a body that is not valid for this type.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[tuple[ProvisioningTemplate, int]]]:
        before = yield from _locked_template(caller, name)
        parse_template(body, TemplateKind(before.type))
        count = yield from provisioning_template_table.template_version_count(before)
        after = with_next_version(before, count, now, as_default=as_default)
        version = TemplateVersion(after.last_version, body, now)
        yield from provisioning_template_table.insert_template_version(after, version)
        yield from provisioning_template_table.update_provisioning_template(after)
        entry = audit_entry(
            caller,
            now,
            "CreateProvisioningTemplateVersion",
            after.arn,
            version=str(version.version),
            default_version=str(after.default_version),
        )
        return Change((after, version.version), (entry,))

    return await change(authority, program)


async def describe_version(
    authority: RegistrationAuthority, caller: Caller, name: TemplateName, number: int
) -> tuple[ProvisioningTemplate, TemplateVersion]:
    """Return the template and one of its versions; raise ResourceNotFound."""

    def program() -> Steps[tuple[ProvisioningTemplate, TemplateVersion]]:
        template = yield from found_template(caller, name)
        version = yield from _found_version(template, number)
        return template, version

    return await authority.store.read(program)


async def list_versions(
    authority: RegistrationAuthority, caller: Caller, name: TemplateName, request: PageRequest
) -> tuple[ProvisioningTemplate, Page[TemplateVersionEntry]]:
    """Return the template and a page of its versions in the order of their creation; raise ResourceNotFound."""

    def program() -> Steps[tuple[ProvisioningTemplate, Page[TemplateVersionEntry]]]:
        template = yield from found_template(caller, name)
        page = yield from read_page(request, lambda page: provisioning_template_table.template_versions(template, page))
        return template, page

    return await authority.store.read(program)


async def delete_version(authority: RegistrationAuthority, caller: Caller, name: TemplateName, number: int) -> None:
    """Delete a version; raise ResourceNotFound, or DeletionRefused for the default version."""
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        template = yield from _locked_template(caller, name)
        ensure_version_deletable(template, number)
        if not (yield from provisioning_template_table.delete_template_version(template, number)):
            raise _no_version(template, number)
        entry = audit_entry(caller, now, "DeleteProvisioningTemplateVersion", template.arn, version=str(number))
        return Change(None, (entry,))

    await change(authority, program)


def found_template(caller: Caller, name: TemplateName) -> Steps[ProvisioningTemplate]:
    """Return the template; raise ResourceNotFound if the caller's account has no such one in the region."""
    return _found(name, (yield from provisioning_template_table.provisioning_template(caller.scope, name)))


def kept_template(caller: Caller, name: TemplateName) -> Steps[ProvisioningTemplate]:
    """Return the template, locked against deletion until the transaction ends; raise as `found_template` does."""
    return _found(name, (yield from provisioning_template_table.provisioning_template_kept(caller.scope, name)))


def require_template(caller: Caller, template: ProvisioningTemplate) -> Steps[None]:
    """Lock the template against deletion until the transaction ends.

    Raises TemplateNotFound if it was deleted after it was read, even if another one has its name now; InvalidRequest if
    it was disabled.
    """
    present = yield from kept_template(caller, template.name)
    if present.generation_id != template.generation_id:
        raise TemplateNotFound(f"The provisioning template {template.name} does not exist any more")
    ensure_usable(present, template.type)


def _locked_template(caller: Caller, name: TemplateName) -> Steps[ProvisioningTemplate]:
    return _found(name, (yield from provisioning_template_table.provisioning_template_for_update(caller.scope, name)))


def _found(name: TemplateName, template: ProvisioningTemplate | None) -> ProvisioningTemplate:
    if template is None:
        raise TemplateNotFound(f"The provisioning template {name} does not exist")
    return template


def _found_version(template: ProvisioningTemplate, number: int) -> Steps[TemplateVersion]:
    version = yield from provisioning_template_table.template_version(template, number)
    if version is None:
        raise _no_version(template, number)
    return version


def _no_version(template: ProvisioningTemplate, number: int) -> ResourceNotFound:
    return ResourceNotFound(f"The provisioning template {template.name} has no version {number}")
