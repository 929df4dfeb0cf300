"""Owns the table of tags, and the tables of the resources that can have tags. Independent of the database engine."""

from collections.abc import Mapping, Sequence

from thingmint.core.registry.tag import Taggable, TaggableKind
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE

_TABLES = {
    TaggableKind.POLICY: ("policy", "name"),
    TaggableKind.THING_TYPE: ("thing_type", "name"),
    TaggableKind.THING_GROUP: ("thing_group", "name"),
    TaggableKind.BILLING_GROUP: ("billing_group", "name"),
    TaggableKind.CA_CERTIFICATE: ("ca_certificate", "certificate_id"),
    TaggableKind.PROVISIONING_TEMPLATE: ("provisioning_template", "name"),
    TaggableKind.ROLE_ALIAS: ("role_alias", "name"),
    TaggableKind.CERTIFICATE_PROVIDER: ("certificate_provider", "name"),
}

# The expressions keep the planner from any index by account and region, as in `columns.one_named`.
TAGGABLES = {
    kind: f"SELECT position FROM {table} WHERE {name} = $1 AND account || '' = $2 AND region || '' = $3"  # noqa: S608  constants above
    for kind, (table, name) in _TABLES.items()
}

TAGS = "SELECT tag_key, tag_value FROM tag WHERE resource = $1 ORDER BY tag_key"

PUT_TAG = (
    "INSERT INTO tag (resource, tag_key, tag_value) VALUES ($1, $2, $3) "
    "ON CONFLICT (resource, tag_key) DO UPDATE SET tag_value = excluded.tag_value"
)

REMOVE_TAG = "DELETE FROM tag WHERE resource = $1 AND tag_key = $2"

DELETE_TAGS = "DELETE FROM tag WHERE resource = $1"


def has_taggable(resource: Taggable) -> Steps[bool]:
    """Return whether the resource exists."""
    return (yield from _exists(TAGGABLES[resource.kind], resource))


def hold_taggable(resource: Taggable) -> Steps[bool]:
    """Return whether the resource exists, and lock it against deletion and tagging until this transaction ends."""
    return (yield from _exists(TAGGABLES[resource.kind] + FOR_UPDATE, resource))


def tags(resource_arn: str) -> Steps[Mapping[str, str]]:
    """Return the resource's tags in the order of their keys."""
    rows = yield from rows_of(TAGS, resource_arn)
    return {str(key): str(value) for key, value in rows}


def put_tags(resource_arn: str, tags: Mapping[str, str]) -> Steps[None]:
    """Store the tags. They replace tags with the same keys."""
    for key, value in tags.items():
        yield from rows_of(PUT_TAG, resource_arn, key, value)


def remove_tags(resource_arn: str, keys: Sequence[str]) -> Steps[None]:
    """Delete the tags with these keys, if they exist."""
    for key in keys:
        yield from rows_of(REMOVE_TAG, resource_arn, key)


def delete_tags(resource_arn: str) -> Steps[None]:
    """Delete all tags of a resource that this transaction deletes."""
    yield from rows_of(DELETE_TAGS, resource_arn)


def _exists(sql: str, resource: Taggable) -> Steps[bool]:
    row = yield from row_of(sql, resource.name, resource.scope.account, resource.scope.region)
    return row is not None
