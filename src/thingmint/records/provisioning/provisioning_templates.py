"""Owns the tables of provisioning templates and their versions. Independent of the database engine."""

from collections.abc import Sequence

from thingmint.core.errors import LimitExceeded, ResourceExists
from thingmint.core.identifiers import AccountId, Region, Scope, TemplateName, provisioning_template_arn
from thingmint.core.paging import PageRequest
from thingmint.core.provisioning.stored_template import (
    PreProvisioningHook,
    ProvisioningTemplate,
    TemplateEntry,
    TemplateType,
    TemplateVersion,
    TemplateVersionEntry,
)
from thingmint.records.columns import column_of_time, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_KEY_SHARE, FOR_UPDATE, after

COLUMNS = (
    "account, region, name, type, description, enabled, role_arn, hook_target_arn, hook_payload_version, "
    "created_at, modified_at, default_version, last_version, generation_id"
)
_ENTRY_COLUMNS = "name, type, description, enabled, created_at, modified_at, position"
_ONE_TEMPLATE = "WHERE name = $1 AND account = $2 AND region = $3"
_ITS_VERSIONS = "FROM provisioning_template_version WHERE template_name = $1 AND account = $2 AND region = $3"

TEMPLATE = f"SELECT {COLUMNS} FROM provisioning_template {_ONE_TEMPLATE}"  # noqa: S608  constants above

TEMPLATES = (
    f"SELECT {_ENTRY_COLUMNS} FROM provisioning_template "  # noqa: S608  the columns are the constants above
    f"WHERE {after('account', 'region', 'position')} LIMIT $4"
)

# A conflict returns no row instead of an error, which would end the whole transaction on PostgreSQL.
INSERT_TEMPLATE = (
    f"INSERT INTO provisioning_template ({COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING RETURNING position"
)

# A transaction that counts up locks the row until it ends, so concurrent creations cannot exceed the limit.
COUNT_UP = (
    "INSERT INTO provisioning_template_count (account, region, templates) VALUES ($1, $2, 1) "
    "ON CONFLICT (account, region) DO UPDATE SET templates = provisioning_template_count.templates + 1 "
    "WHERE provisioning_template_count.templates < $3 RETURNING templates"
)

COUNT_DOWN = "UPDATE provisioning_template_count SET templates = templates - 1 WHERE account = $1 AND region = $2"

UPDATE_TEMPLATE = (
    "UPDATE provisioning_template SET description = $1, enabled = $2, role_arn = $3, hook_target_arn = $4, "
    "hook_payload_version = $5, modified_at = $6, default_version = $7, last_version = $8 "
    "WHERE name = $9 AND account = $10 AND region = $11"
)

DELETE_TEMPLATE = f"DELETE FROM provisioning_template {_ONE_TEMPLATE}"  # noqa: S608  constants above
DELETE_VERSIONS = f"DELETE {_ITS_VERSIONS}"
DELETE_CLAIMS = "DELETE FROM claim_certificate WHERE template_name = $1 AND account = $2 AND region = $3"

VERSION = f"SELECT version, body, created_at {_ITS_VERSIONS} AND version = $4"

VERSIONS = (
    "SELECT version, created_at, position FROM provisioning_template_version "
    "WHERE account = $1 AND region = $2 AND template_name = $3 AND position > $4 ORDER BY position LIMIT $5"
)

VERSION_COUNT = f"SELECT count(*) {_ITS_VERSIONS}"

INSERT_VERSION = (
    "INSERT INTO provisioning_template_version (account, region, template_name, version, body, created_at) "
    "VALUES ($1, $2, $3, $4, $5, $6)"
)

DELETE_VERSION = f"DELETE {_ITS_VERSIONS} AND version = $4 RETURNING position"


def provisioning_template(scope: Scope, name: TemplateName) -> Steps[ProvisioningTemplate | None]:
    """Return the template, or None."""
    row = yield from row_of(TEMPLATE, name, scope.account, scope.region)
    return None if row is None else template_of_row(row)


def provisioning_template_for_update(scope: Scope, name: TemplateName) -> Steps[ProvisioningTemplate | None]:
    """Return the template and lock it against changes until this transaction ends."""
    row = yield from row_of(TEMPLATE + FOR_UPDATE, name, scope.account, scope.region)
    return None if row is None else template_of_row(row)


def provisioning_template_kept(scope: Scope, name: TemplateName) -> Steps[ProvisioningTemplate | None]:
    """Return the template and lock it against deletion until this transaction ends."""
    row = yield from row_of(TEMPLATE + FOR_KEY_SHARE, name, scope.account, scope.region)
    return None if row is None else template_of_row(row)


def provisioning_templates(scope: Scope, page: PageRequest) -> Steps[Sequence[TemplateEntry]]:
    """Return up to ``page.size`` templates in the order of their creation."""
    position = position_after(page.after, ascending=True)
    found = yield from rows_of(TEMPLATES, scope.account, scope.region, position, page.size)
    return tuple([_entry_of_row(scope, row) for row in found])


def insert_provisioning_template(template: ProvisioningTemplate, limit: int) -> Steps[None]:
    """Store a new template; raise ResourceExists if its name is taken, LimitExceeded if the scope has ``limit``."""
    inserted = yield from row_of(INSERT_TEMPLATE, *_columns_of_template(template))
    if inserted is None:
        raise ResourceExists(
            f"The provisioning template {template.name} already exists",
            resource_id=template.name,
            resource_arn=provisioning_template_arn(template.scope, template.name),
        )
    counted = yield from row_of(COUNT_UP, template.scope.account, template.scope.region, limit)
    if counted is None:
        raise LimitExceeded(f"An account has at most {limit} provisioning templates in a region")


def update_provisioning_template(template: ProvisioningTemplate) -> Steps[None]:
    """Store the columns of the template that can change."""
    yield from rows_of(
        UPDATE_TEMPLATE,
        template.description,
        int(template.enabled),
        template.role_arn,
        *_columns_of_hook(template.hook),
        column_of_time(template.modified_at),
        template.default_version,
        template.last_version,
        *_key(template),
    )


def delete_provisioning_template(template: ProvisioningTemplate) -> Steps[None]:
    """Delete the template with all its versions and claims."""
    for statement in (DELETE_CLAIMS, DELETE_VERSIONS, DELETE_TEMPLATE):
        yield from rows_of(statement, *_key(template))
    yield from rows_of(COUNT_DOWN, template.scope.account, template.scope.region)


def template_version(template: ProvisioningTemplate, version: int) -> Steps[TemplateVersion | None]:
    """Return the version, or None."""
    row = yield from row_of(VERSION, *_key(template), version)
    return None if row is None else TemplateVersion(row[0], row[1], time_of_column(row[2]))


def template_versions(template: ProvisioningTemplate, page: PageRequest) -> Steps[Sequence[TemplateVersionEntry]]:
    """Return up to ``page.size`` versions in the order of their creation."""
    position = position_after(page.after, ascending=True)
    scope = template.scope
    found = yield from rows_of(VERSIONS, scope.account, scope.region, template.name, position, page.size)
    return tuple([TemplateVersionEntry(row[0], time_of_column(row[1]), row[2]) for row in found])


def template_version_count(template: ProvisioningTemplate) -> Steps[int]:
    """Return the number of versions of the template."""
    ((count,),) = yield from rows_of(VERSION_COUNT, *_key(template))
    return int(count)


def insert_template_version(template: ProvisioningTemplate, version: TemplateVersion) -> Steps[None]:
    """Store a new version of the template."""
    scope = template.scope
    created_at = column_of_time(version.created_at)
    yield from rows_of(
        INSERT_VERSION, scope.account, scope.region, template.name, version.version, version.body, created_at
    )


def delete_template_version(template: ProvisioningTemplate, version: int) -> Steps[bool]:
    """Delete the version; return whether it existed."""
    deleted = yield from row_of(DELETE_VERSION, *_key(template), version)
    return deleted is not None


def _key(template: ProvisioningTemplate) -> tuple[object, ...]:
    return template.name, template.scope.account, template.scope.region


def _columns_of_hook(hook: PreProvisioningHook | None) -> tuple[object, ...]:
    return (None, None) if hook is None else (hook.target_arn, hook.payload_version)


def _columns_of_template(template: ProvisioningTemplate) -> tuple[object, ...]:
    """Return the template's columns in the order of the insertion."""
    return (
        template.scope.account,
        template.scope.region,
        template.name,
        template.type.value,
        template.description,
        int(template.enabled),
        template.role_arn,
        *_columns_of_hook(template.hook),
        column_of_time(template.created_at),
        column_of_time(template.modified_at),
        template.default_version,
        template.last_version,
        template.generation_id,
    )


def template_of_row(row: Row) -> ProvisioningTemplate:
    """Return the template of a row."""
    account, region, name, kind, description, enabled, role_arn, hook_target_arn, hook_payload_version, *rest = row
    created_at, modified_at, default_version, last_version, generation_id = rest
    return ProvisioningTemplate(
        scope=Scope(AccountId(account), Region(region)),
        name=TemplateName(name),
        generation_id=generation_id,
        type=TemplateType(kind),
        description=description,
        enabled=bool(enabled),
        role_arn=role_arn,
        hook=None if hook_target_arn is None else PreProvisioningHook(hook_target_arn, hook_payload_version),
        created_at=time_of_column(created_at),
        modified_at=time_of_column(modified_at),
        default_version=default_version,
        last_version=last_version,
    )


def _entry_of_row(scope: Scope, row: Row) -> TemplateEntry:
    """Return a template of a list."""
    name, kind, description, enabled, created_at, modified_at, position = row
    return TemplateEntry(
        scope=scope,
        name=TemplateName(name),
        type=TemplateType(kind),
        description=description,
        enabled=bool(enabled),
        created_at=time_of_column(created_at),
        modified_at=time_of_column(modified_at),
        position=position,
    )
