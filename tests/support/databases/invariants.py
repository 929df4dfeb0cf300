"""Owns what must be true of the registry's tables whatever was done, and how often at once; knows no operation.

Nothing refers to what does not exist, what is kept twice agrees, and no limit is exceeded. Every live service of the
tests is judged by this at its end.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.support.databases.database import Row, Tables

from thingmint.core.identifiers import partition_of

Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Registry:
    """The tables, indexed by what refers to them."""

    tables: Tables

    def rows(self, table: str) -> Sequence[Row]:
        """Return the table's rows; none if the schema does not have it."""
        return self.tables.get(table, ())

    def by(self, table: str, *columns: str) -> dict[Key, Row]:
        """Return the rows by account, region and these columns."""
        return {key_of(row, *columns): row for row in self.rows(table)}


def key_of(row: Row, *columns: str) -> Key:
    """Return account, region and these columns."""
    return (row["account"], row["region"], *(row[column] for column in columns))


def violations(tables: Tables) -> list[str]:
    """Return what is wrong with the tables, in words; nothing if they are consistent."""
    registry = Registry(tables)
    return [f"{rule.__name__}: {found}" for rule in RULES for found in rule(registry)]


def policies_have_their_versions(registry: Registry) -> Iterator[object]:
    """The default version exists, there are five at most, and none without its policy or from the future."""
    policies, versions = registry.by("policy", "name"), registry.rows("policy_version")
    numbers = defaultdict(set)
    for version in versions:
        numbers[key_of(version, "policy_name")].add(version["version"])
    for key, policy in policies.items():
        if policy["default_version"] not in numbers[key] or not 1 <= len(numbers[key]) <= 5:
            yield "default version missing, or too many versions", policy, numbers[key]
        if max(numbers[key], default=0) > policy["last_version"]:
            yield "a number that can be given again", policy, numbers[key]
    yield from (("no policy", key) for key in numbers if key not in policies)


def policies_are_attached_to_what_exists(registry: Registry) -> Iterator[object]:
    """Policy and target of an attachment exist, and a target has ten at most."""
    policies, targets = registry.by("policy", "name"), Counter[Key]()
    certificates, groups = registry.by("certificate", "certificate_id"), registry.by("thing_group", "name")
    for row in registry.rows("policy_attachment"):
        scope, target = key_of(row), row["target"]
        targets[key_of(row, "target")] += 1
        kind, _, name = target.partition("/")
        if key_of(row, "policy_name") not in policies:
            yield "no policy", row
        if kind == arn_of(row, "cert") and (*scope, name) not in certificates:
            yield "no certificate", row
        elif kind == arn_of(row, "thinggroup") and (*scope, name) not in groups:
            yield "no group", row
        elif target.startswith("arn:") and kind not in (arn_of(row, "cert"), arn_of(row, "thinggroup")):
            yield "a target of somebody else", row
    yield from (("too many policies", key) for key, count in targets.items() if count > 10)


def principals_are_attached_to_what_exists(registry: Registry) -> Iterator[object]:
    """Thing and certificate of an attachment exist, and an exclusive principal has one thing."""
    things, certificates = registry.by("thing", "name"), registry.by("certificate", "certificate_id")
    attachments = defaultdict(list)
    for row in registry.rows("thing_principal"):
        kind, _, certificate_id = row["principal"].partition("/")
        attachments[key_of(row, "principal")].append(row)
        if key_of(row, "thing_name") not in things:
            yield "no thing", row
        if kind != arn_of(row, "cert") or (*key_of(row), certificate_id) not in certificates:
            yield "no certificate", row
    for rows in attachments.values():
        if len(rows) > 1 and any(row["principal_type"] == "EXCLUSIVE_THING" for row in rows):
            yield "exclusive, but not alone", rows


def transfers_are_whole(registry: Registry) -> Iterator[object]:
    """A certificate waits for another account if and only if its status says so, and nothing is attached to it."""
    attached = {key_of(row, "target") for row in registry.rows("policy_attachment")}
    attached |= {key_of(row, "principal") for row in registry.rows("thing_principal")}
    for row in registry.rows("certificate"):
        pending = row["status"] == "PENDING_TRANSFER"
        if pending != (row["transfer_to"] is not None) or row["transfer_to"] == row["account"]:
            yield "status and recipient disagree", without_der(row)
        if pending and (row["transfer"] is None or json.loads(row["transfer"])["target"] != row["transfer_to"]):
            yield "transfer and recipient disagree", without_der(row)
        if pending and (*key_of(row), f"{arn_of(row, 'cert')}/{row['certificate_id']}") in attached:
            yield "attached to something while it is transferred", without_der(row)


def things_have_what_they_name(registry: Registry) -> Iterator[object]:
    """Type and billing group of a thing exist."""
    types, groups = registry.by("thing_type", "name"), registry.by("billing_group", "name")
    for row in registry.rows("thing"):
        if row["type_name"] is not None and key_of(row, "type_name") not in types:
            yield "no type", row
        if row["billing_group"] is not None and key_of(row, "billing_group") not in groups:
            yield "no billing group", row


def attributes_are_found_as_they_are_told(registry: Registry) -> Iterator[object]:
    """The rows by which things are found are those of their attributes, neither more nor less."""
    told = {
        (*key_of(thing, "position"), name, value, f"{thing['type_name'] or ''}/{value}")
        for thing in registry.rows("thing")
        for name, value in json.loads(thing["attributes"]).items()
    }
    found = {key_of(row, "position", "name", "value", "typed_value") for row in registry.rows("thing_attribute")}
    yield from (("not the same in both", row) for row in told ^ found)


def groups_are_trees(registry: Registry) -> Iterator[object]:
    """The parent of a group exists, and the group's path is its parent's and its name."""
    groups = registry.by("thing_group", "name")
    for row in groups.values():
        parent = None if row["parent_name"] is None else groups.get(key_of(row, "parent_name"))
        if row["parent_name"] is not None and parent is None:
            yield "no parent", row
        elif row["path"] != ("" if parent is None else parent["path"]) + row["name"] + "/":
            yield "not below its parent", row


def members_are_in_groups(registry: Registry) -> Iterator[object]:
    """Thing and group of a membership exist; a thing is in ten groups at most, and in one of each hierarchy."""
    things, groups = registry.by("thing", "name"), registry.by("thing_group", "name")
    roots = defaultdict(list)
    for row in registry.rows("thing_group_member"):
        group = groups.get(key_of(row, "group_name"))
        roots[key_of(row, "thing_name")].append(row["path"].partition("/")[0])
        if key_of(row, "thing_name") not in things:
            yield "no thing", row
        if group is None or group["path"] != row["path"]:
            yield "no such group", row
    for key, names in roots.items():
        if len(names) > 10 or len(set(names)) < len(names):
            yield "too many groups", key, names


def templates_have_their_versions(registry: Registry) -> Iterator[object]:
    """The default version of a template exists, there are five at most, and the counter of templates counts."""
    templates, numbers = registry.by("provisioning_template", "name"), defaultdict(set)
    for version in registry.rows("provisioning_template_version"):
        numbers[key_of(version, "template_name")].add(version["version"])
    for key, template in templates.items():
        if template["default_version"] not in numbers[key] or not 1 <= len(numbers[key]) <= 5:
            yield "default version missing, or too many versions", template, numbers[key]
    yield from (("no template", key) for key in numbers if key not in templates)
    counted = Counter(key_of(row) for row in templates.values())
    told = {key_of(row): row["templates"] for row in registry.rows("provisioning_template_count")}
    yield from (("miscounted", key) for key in counted.keys() | told.keys() if counted[key] != told.get(key, 0))


def claims_are_on_templates(registry: Registry) -> Iterator[object]:
    """The template of a claim exists: a later one of the same name would take the claim over."""
    templates = registry.by("provisioning_template", "name")
    yield from (row for row in registry.rows("claim_certificate") if key_of(row, "template_name") not in templates)


def ca_certificates_are_counted(registry: Registry) -> Iterator[object]:
    """The counter of a subject's CA certificates counts."""
    counted = Counter(key_of(row, "subject_digest") for row in registry.rows("ca_certificate"))
    told = {key_of(row, "subject_digest"): row["certificates"] for row in registry.rows("ca_subject")}
    yield from (("miscounted", key) for key in counted.keys() | told.keys() if counted[key] != told.get(key, 0))


def outcomes_are_of_tasks(registry: Registry) -> Iterator[object]:
    """The bulk registration of an outcome exists."""
    tasks = registry.by("registration_task", "task_id")
    yield from (row for row in registry.rows("registration_outcome") if key_of(row, "task_id") not in tasks)


def others_see_what_cannot_connect(registry: Registry) -> Iterator[object]:
    """Of the service's own certificates, what the gateway refuses is shown as revoked or on hold, and nothing else."""
    shown = {(row["issuer_id"], row["serial_number"]): row["reason"] for row in registry.rows("revocation")}
    removed, hold = 8, 6
    for row in registry.rows("certificate"):
        reason = shown.get((row["issuer_id"], row["serial_number"]), removed)
        is_right = {
            "ACTIVE": reason == removed,
            "PENDING_ACTIVATION": reason == removed,
            "REVOKED": reason not in (removed, hold),
        }
        if row["issuer_id"] is not None and not is_right.get(row["status"], reason == hold):
            yield "shown otherwise", without_der(row), reason


TAGGED = {
    "cacert": ("ca_certificate", "certificate_id"),
    "policy": ("policy", "name"),
    "thinggroup": ("thing_group", "name"),
    "thingtype": ("thing_type", "name"),
    "billinggroup": ("billing_group", "name"),
    "provisioningtemplate": ("provisioning_template", "name"),
    "rolealias": ("role_alias", "name"),
    "certificateprovider": ("certificate_provider", "name"),
}


def tags_are_on_what_exists(registry: Registry) -> Iterator[object]:
    """What has tags exists, and has fifty at most."""
    tagged = Counter(row["resource"] for row in registry.rows("tag"))
    present = {
        f"{arn_of(row, kind)}/{row[column]}" for kind, (table, column) in TAGGED.items() for row in registry.rows(table)
    }
    yield from (
        ("nothing there, or too many", arn) for arn, count in tagged.items() if arn not in present or count > 50
    )


def arn_of(row: Row, kind: str) -> str:
    """Return the ARN of the row's scope up to the slash."""
    return f"arn:{partition_of(row['region'])}:iot:{row['region']}:{row['account']}:{kind}"


def without_der(row: Row) -> Row:
    """Return the row as a reader wants to see it."""
    return {column: value for column, value in row.items() if column != "der"}


RULES: tuple[Callable[[Registry], Iterator[object]], ...] = (
    policies_have_their_versions,
    policies_are_attached_to_what_exists,
    principals_are_attached_to_what_exists,
    transfers_are_whole,
    things_have_what_they_name,
    attributes_are_found_as_they_are_told,
    groups_are_trees,
    members_are_in_groups,
    templates_have_their_versions,
    claims_are_on_templates,
    ca_certificates_are_counted,
    outcomes_are_of_tasks,
    tags_are_on_what_exists,
    others_see_what_cannot_connect,
)
