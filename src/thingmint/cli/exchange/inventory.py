"""Owns the reading of an inventory: the output of AWS's CLI, which `inventory.sh` writes into a directory.

The directory is untrusted input: no name in it can result in a path outside of it.
"""

import json
import re
from pathlib import Path
from typing import Any

from thingmint.cli.exchange.fleet import CertificateItem, Fleet, GroupItem, ThingItem, ThingTypeItem, parents_first
from thingmint.core.error_text import in_words
from thingmint.host.given_files import read_given

SCRIPT = """\
#!/bin/sh
# Writes what AWS IoT knows of an account's devices into a directory, with AWS's CLI: sh inventory.sh DIRECTORY
# Reads only. Run it again after an interruption: what is there already is not asked for again.
set -eu
out=${1:?which directory?}
mkdir -p "$out/policies" "$out/groups" "$out/certificates" "$out/things"
ask() { # FILE ARGUMENTS…
    file=$1
    shift
    [ -s "$file" ] || { aws iot "$@" --output json >"$file.part" && mv "$file.part" "$file"; }
}
names() { aws iot "$@" --output text | tr '\\t' '\\n' | grep -v '^None$' || true; }
ask "$out/thing-types.json" list-thing-types
ask "$out/things.json" list-things
names list-policies --query 'policies[].policyName' | while read -r name; do
    ask "$out/policies/$name.json" get-policy --policy-name "$name"
done
names list-thing-groups --query 'thingGroups[].groupName' | while read -r name; do
    ask "$out/groups/$name.json" describe-thing-group --thing-group-name "$name"
    ask "$out/groups/$name.things.json" list-things-in-thing-group --thing-group-name "$name"
    arn=$(aws iot describe-thing-group --thing-group-name "$name" --query thingGroupArn --output text)
    ask "$out/groups/$name.policies.json" list-attached-policies --target "$arn"
done
names list-certificates --query 'certificates[].certificateArn' | while read -r arn; do
    id=${arn##*/}
    ask "$out/certificates/$id.json" describe-certificate --certificate-id "$id"
    ask "$out/certificates/$id.policies.json" list-attached-policies --target "$arn"
    ask "$out/certificates/$id.things.json" list-principal-things --principal "$arn"
done
"""

_NAME = re.compile(r"[A-Za-z0-9_+=,.@:-]{1,128}")
_MAX_BYTES = 512 * 1024 * 1024


class InventoryRefused(Exception):
    """A file of an inventory is missing or not in the format of AWS's CLI; the message names it."""


def read_inventory(directory: Path) -> Fleet:
    """Return the fleet of an inventory; raise InventoryRefused, which names the file."""
    fleet = Fleet()
    for each in _listed(path := directory / "thing-types.json", "thingTypes"):
        name, properties = _name(each, "thingTypeName"), _table(each, "thingTypeProperties", path)
        searchable = properties.get("searchableAttributes") or []
        if not isinstance(searchable, list):
            raise InventoryRefused(f"{path} has searchableAttributes that are no list")
        description = _text_or_none(properties, "thingTypeDescription", path)
        fleet.types.append(ThingTypeItem(name, description, tuple(_text(each, path) for each in searchable)))
    for path in _files(directory / "policies"):
        found = _read(path)
        name = _name(found, "policyName", path)
        fleet.policies[name] = _text(found.get("policyDocument"), path)
    members: dict[str, list[str]] = {}
    groups = [_group(path, members) for path in _files(directory / "groups")]
    fleet.groups = parents_first(groups)
    owned: dict[str, list[str]] = {}
    for path in _files(directory / "certificates"):
        item = _certificate(path, owned)
        fleet.certificates[item.certificate_id] = item
    for each in _listed(path := directory / "things.json", "things"):
        name = _name(each, "thingName")
        attributes = {_text(key, path): _text(value, path) for key, value in _table(each, "attributes", path).items()}
        type_name = _text_or_none(each, "thingTypeName", path)
        groups_of, held = members.get(name, ()), owned.get(name, ())
        fleet.things.append(ThingItem(name, type_name, attributes, tuple(groups_of), tuple(held)))
    return fleet


def _group(path: Path, members: dict[str, list[str]]) -> GroupItem:
    found = _read(path)
    name = _name(found, "thingGroupName", path)
    for thing in _listed(path.with_name(f"{path.stem}.things.json"), "things"):
        members.setdefault(str(thing), []).append(name)
    policies = _listed(path.with_name(f"{path.stem}.policies.json"), "policies")
    parent = _text_or_none(_table(found, "thingGroupMetadata", path), "parentGroupName", path)
    return GroupItem(name, parent, tuple(_name(each, "policyName") for each in policies))


def _certificate(path: Path, owned: dict[str, list[str]]) -> CertificateItem:
    described = _read(path).get("certificateDescription")
    if not isinstance(described, dict):
        raise InventoryRefused(f"{path} is no answer of describe-certificate")
    certificate_id = _name(described, "certificateId", path)
    for thing in _listed(path.with_name(f"{path.stem}.things.json"), "things"):
        owned.setdefault(str(thing), []).append(certificate_id)
    policies = _listed(path.with_name(f"{path.stem}.policies.json"), "policies")
    names = tuple(_name(each, "policyName") for each in policies)
    pem, status = _text_or_none(described, "certificatePem", path), _text_or_none(described, "status", path)
    if pem is None or status is None:
        raise InventoryRefused(f"{path} has no certificatePem or no status")
    return CertificateItem(certificate_id, pem, status, names)


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise InventoryRefused(f"{directory} is missing")
    inner = (".things.json", ".policies.json")
    return sorted(path for path in directory.glob("*.json") if not path.name.endswith(inner))


def _listed(path: Path, member: str) -> list[Any]:
    found = _read(path).get(member)
    if not isinstance(found, list):
        raise InventoryRefused(f"{path} has no list {member!r}")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(read_given(path, _MAX_BYTES))
    except FileNotFoundError as error:
        raise InventoryRefused(f"{path} is missing") from error
    except OSError as error:
        raise InventoryRefused(in_words(error)) from error
    except (ValueError, RecursionError) as error:
        raise InventoryRefused(f"{path} is no JSON: was the inventory interrupted? Run its script again") from error
    if not isinstance(read, dict):
        raise InventoryRefused(f"{path} is no answer of AWS's CLI")
    return read


def _table(found: dict[str, Any], member: str, path: Path) -> dict[str, Any]:
    table = found.get(member) or {}
    if not isinstance(table, dict):
        raise InventoryRefused(f"{path} has {member} that is no object")
    return table


def _text_or_none(found: dict[str, Any], member: str, path: Path) -> str | None:
    value = found.get(member)
    return None if value is None or value == "" else _text(value, path)


def _text(value: object, path: Path) -> str:
    try:
        if isinstance(value, str):
            value.encode()
            return value
    except UnicodeEncodeError:
        # JSON can contain half of a character of two escapes, which no request can carry.
        pass
    raise InventoryRefused(f"{path} has {str(value)[:50]!r} where a text belongs")


def _name(found: Any, member: str, path: Path | None = None) -> str:
    name = found.get(member) if isinstance(found, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InventoryRefused(f"{'a list' if path is None else path} has {member} {name!r}, which is no name")
    return name
