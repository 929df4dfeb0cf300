"""Owns the reading of devices from a running service, page by page, through AWS's operations."""

import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from thingmint.cli.connection import SignedClient
from thingmint.cli.exchange.fleet import CertificateItem, Fleet, GroupItem, ThingItem, ThingTypeItem, parents_first

_CALLERS = 8
_STATUSES = frozenset({"ACTIVE", "INACTIVE", "REVOKED"})


class ServiceRegistry:
    """Reads a registry. ``on_progress`` receives the number of things and certificates that were read."""

    def __init__(self, client: SignedClient, on_progress: Callable[[int], None]) -> None:
        self._client = client
        self._on_progress = on_progress
        self._done = 0

    def read(self) -> Fleet:
        """Return the whole fleet; raise ServiceRefused, ServiceUnreachable."""
        fleet = Fleet(types=[self._type(each) for each in self._pages("/thing-types", "thingTypes")])
        for each in self._pages("/policies", "policies", marker=True):
            name = each["policyName"]
            fleet.policies[name] = str(self._get(f"/policies/{_quoted(name)}")["policyDocument"])
        groups = [each["groupName"] for each in self._pages("/thing-groups", "thingGroups")]
        fleet.groups = parents_first([self._group(name) for name in groups])
        for each in self._pages("/provisioning-templates", "templates"):
            fleet.templates[each["templateName"]] = self._template(each["templateName"])
        with ThreadPoolExecutor(_CALLERS) as pool:
            certificates = self._pages("/certificates", "certificates", marker=True)
            wanted = [each["certificateId"] for each in certificates if each["status"] in _STATUSES]
            fleet.certificates = {each.certificate_id: each for each in pool.map(self._certificate, wanted)}
            fleet.things = list(pool.map(self._thing, self._pages("/things", "things")))
        return fleet

    def _type(self, each: dict[str, Any]) -> ThingTypeItem:
        properties = each.get("thingTypeProperties") or {}
        description = properties.get("thingTypeDescription") or None
        return ThingTypeItem(each["thingTypeName"], description, tuple(properties.get("searchableAttributes") or ()))

    def _group(self, name: str) -> GroupItem:
        found = self._get(f"/thing-groups/{_quoted(name)}")
        parent = (found.get("thingGroupMetadata") or {}).get("parentGroupName")
        return GroupItem(name, parent, self._policies_of(found["thingGroupArn"]))

    def _template(self, name: str) -> dict[str, object]:
        found = self._get(f"/provisioning-templates/{_quoted(name)}")
        kept = ("templateName", "description", "templateBody", "enabled", "provisioningRoleArn", "type")
        # Hooks are left out, because a hook is a Lambda function of the source account.
        return {key: found[key] for key in kept if found.get(key) is not None}

    def _certificate(self, certificate_id: str) -> CertificateItem:
        found = self._get(f"/certificates/{certificate_id}")["certificateDescription"]
        policies = self._policies_of(found["certificateArn"])
        self._advance()
        return CertificateItem(certificate_id, found["certificatePem"], found["status"], policies)

    def _thing(self, each: dict[str, Any]) -> ThingItem:
        path = f"/things/{_quoted(each['thingName'])}"
        principals = [str(arn).rpartition("/")[2] for arn in self._pages(f"{path}/principals", "principals")]
        groups = [group["groupName"] for group in self._pages(f"{path}/thing-groups", "thingGroups")]
        self._advance()
        return ThingItem(
            each["thingName"],
            each.get("thingTypeName"),
            dict(each.get("attributes") or {}),
            tuple(groups),
            tuple(principals),
        )

    def _policies_of(self, arn: str) -> tuple[str, ...]:
        path = f"/attached-policies/{urllib.parse.quote(arn, safe='')}"
        return tuple(each["policyName"] for each in self._pages(path, "policies", marker=True, method="POST"))

    def _pages(self, path: str, member: str, *, marker: bool = False, method: str = "GET") -> Iterator[Any]:
        query = {"pageSize" if marker else "maxResults": "250"}
        while True:
            page: dict[str, Any] = self._client.call(method, path, query)
            yield from page.get(member) or ()
            token = page.get("nextMarker") or page.get("nextToken")
            if not token:
                return
            query["marker" if marker else "nextToken"] = str(token)

    def _get(self, path: str) -> dict[str, Any]:
        return self._client.call("GET", path, {})

    def _advance(self) -> None:
        self._done += 1
        self._on_progress(self._done)


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
