"""Owns the import of devices into a running service: each step is idempotent, so an import can be run again.

A resource that exists with the same properties is left. One with other properties is reported as a conflict, and not
changed.
"""

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from thingmint.cli.connection import ServiceRefused, SignedClient
from thingmint.cli.exchange.fleet import CertificateItem, Fleet, GroupItem, ThingItem, ThingTypeItem

_EXISTS = "ResourceAlreadyExistsException"


@dataclass(slots=True)
class IntoService:
    """The calls of an import; ``conflicts`` has name and reason of each resource that differs or was refused."""

    client: SignedClient
    on_progress: Callable[[int], None]
    conflicts: list[str] = field(default_factory=list)
    done: int = 0

    def each(self, what: str, bring: Callable[[], None]) -> None:
        """Import one resource and record a conflict; raise general errors: ServiceUnreachable, ServiceRefused."""
        try:
            bring()
        except Conflict as conflict:
            self.conflicts.append(f"{what}: {conflict.args[0]}")
        except ServiceRefused as refusal:
            if refusal.is_about_caller or refusal.status >= 500:
                raise
            self.conflicts.append(f"{what}: {refusal.args[0]}")
        self.done += 1
        self.on_progress(self.done)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the answer; wait while the service throttles."""
        while True:
            try:
                return self.client.call(method, path, query or {}, body, headers)
            except ServiceRefused as refusal:
                if not refusal.is_throttled:
                    raise
                time.sleep(refusal.retry_after)

    def exists(self, create: Callable[[], object]) -> bool:
        """Create something; return whether it existed already."""
        try:
            create()
        except ServiceRefused as refusal:
            if refusal.name != _EXISTS:
                raise
            return True
        return False


class FleetImport(IntoService):
    """An import of a fleet: policies, types, groups, certificates and things, in this order."""

    def fleet(self, fleet: Fleet) -> None:
        """Import a fleet; raise ServiceUnreachable, or ServiceRefused if the service refuses the caller."""
        for name, document in fleet.policies.items():
            self.each(f"policy {name}", partial(self._policy, name, document))
        for each in fleet.types:
            self.each(f"thing type {each.name}", partial(self._type, each))
        for group in fleet.groups:
            self.each(f"thing group {group.name}", partial(self._group, group))
        for certificate in fleet.certificates.values():
            self.each(f"certificate {certificate.certificate_id}", partial(self._certificate, certificate))
        for thing in fleet.things:
            self.each(f"thing {thing.name}", partial(self._thing, thing))

    def _policy(self, name: str, document: str) -> None:
        path = f"/policies/{_quoted(name)}"
        if self.exists(lambda: self.call("POST", path, body={"policyDocument": document})):
            present = str(self.call("GET", path)["policyDocument"])
            if _canonical(present) != _canonical(document):
                raise Conflict("it exists with another document")

    def _type(self, wanted: ThingTypeItem) -> None:
        path = f"/thing-types/{_quoted(wanted.name)}"
        properties: dict[str, object] = {"searchableAttributes": list(wanted.searchable)} if wanted.searchable else {}
        if wanted.description:
            properties["thingTypeDescription"] = wanted.description
        if self.exists(lambda: self.call("POST", path, body={"thingTypeProperties": properties})):
            present = self.call("GET", path).get("thingTypeProperties") or {}
            if sorted(present.get("searchableAttributes") or ()) != sorted(wanted.searchable):
                raise Conflict("it exists with other searchable attributes")

    def _group(self, wanted: GroupItem) -> None:
        path = f"/thing-groups/{_quoted(wanted.name)}"
        body = {} if wanted.parent is None else {"parentGroupName": wanted.parent}
        if self.exists(lambda: self.call("POST", path, body=body)):
            present = (self.call("GET", path).get("thingGroupMetadata") or {}).get("parentGroupName")
            if present != wanted.parent:
                raise Conflict(f"it exists below {present or 'no other group'}")
        if wanted.policies:
            self._attach(wanted.policies, str(self.call("GET", path)["thingGroupArn"]))

    def _certificate(self, wanted: CertificateItem) -> None:
        body = {"certificatePem": wanted.pem, "status": wanted.status}
        self.exists(lambda: self.call("POST", "/certificate/register-no-ca", body=body))
        present = self.call("GET", f"/certificates/{wanted.certificate_id}")["certificateDescription"]
        if present["status"] != wanted.status:
            raise Conflict(f"it is {present['status']} here and {wanted.status} there")
        self._attach(wanted.policies, present["certificateArn"])

    def _thing(self, wanted: ThingItem) -> None:
        path = f"/things/{_quoted(wanted.name)}"
        body: dict[str, object] = {"attributePayload": {"attributes": wanted.attributes}}
        if wanted.type is not None:
            body["thingTypeName"] = wanted.type
        if self.exists(lambda: self.call("POST", path, body=body)):
            raise Conflict("it exists with another type or other attributes")
        for group in wanted.groups:
            names = {"thingGroupName": group, "thingName": wanted.name}
            self.call("PUT", "/thing-groups/addThingToThingGroup", body=names)
        for certificate_id in wanted.certificates:
            arn = str(self.call("GET", f"/certificates/{certificate_id}")["certificateDescription"]["certificateArn"])
            self.call("PUT", f"{path}/principals", headers={"x-amzn-principal": arn})

    def _attach(self, policies: tuple[str, ...], target: str) -> None:
        for name in policies:
            self.call("PUT", f"/target-policies/{_quoted(name)}", body={"target": target})


class Conflict(Exception):
    """A resource exists with other properties; the message says which."""


def _canonical(document: str) -> str:
    try:
        return json.dumps(json.loads(document), sort_keys=True)
    except ValueError:
        return document


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
