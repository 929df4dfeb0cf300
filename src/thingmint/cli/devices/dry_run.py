"""Owns the dry run's queries to a running service: whether the resources named in rows exist. Changes nothing."""

import urllib.parse
from collections.abc import Iterator
from typing import Protocol

from thingmint.cli.connection import ServiceRefused, SignedClient
from thingmint.cli.devices.device import Row
from thingmint.cli.devices.requests import Requests

_PATHS = {"thing": "/things/", "policy": "/policies/", "thing type": "/thing-types/", "thing group": "/thing-groups/"}


class NamesInRegistry(Protocol):
    """A registry that may be able to return whether a resource exists."""

    def exists(self, kind: str, name: str) -> bool | None:
        """Return whether it exists, None if that is not known."""
        ...


class UnopenedRegistry:
    """The registry of an offline station, which a dry run does not open, because that would create a data directory."""

    def exists(self, kind: str, name: str) -> bool | None:
        """Return None, for not known."""
        del kind, name
        return None

    def close(self) -> None:
        """Do nothing."""


class QueriedRegistry:
    """The registry of a running service; each policy, type and group is queried once."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client
        self._known: dict[tuple[str, str], bool] = {}

    def exists(self, kind: str, name: str) -> bool | None:
        """Return whether it exists; raise ServiceRefused, ServiceUnreachable."""
        if (known := self._known.get((kind, name))) is None:
            known = self._known[(kind, name)] = self._ask(kind, name)
        return known

    def _ask(self, kind: str, name: str) -> bool:
        try:
            self._client.call("GET", _PATHS[kind] + urllib.parse.quote(name, safe=""), {})
        except ServiceRefused as refusal:
            if not refusal.is_not_found:
                raise
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def missing_names(rows: list[Row], requests: Requests, registry: NamesInRegistry) -> Iterator[tuple[int, str, str]]:
    """Yield line, thing and reason for each row that the service would refuse."""
    for row in rows:
        if row.device is None:
            continue
        plan = requests.plan(row.device, row.device.csr or "-")
        assert plan.thing is not None, "rows without a thing have a problem already"
        wanted = [
            *[("policy", policy.name) for policy in plan.policies if policy.document is None],
            *[("thing group", name) for name in plan.thing.groups or ()],
            *([] if plan.thing.type_name is None else [("thing type", plan.thing.type_name)]),
        ]
        missing = [f"the {kind} {name} does not exist" for kind, name in wanted if registry.exists(kind, name) is False]
        if registry.exists("thing", row.thing):
            missing.append("the thing exists already")
        if missing:
            yield row.line, row.thing, "; ".join(missing)
