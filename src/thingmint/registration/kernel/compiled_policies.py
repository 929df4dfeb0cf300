"""Owns the cache of compiled device policies. Each version is compiled once; the cache has a memory limit.

The compilation of a document takes milliseconds, and a document can have 400 KB, most of it white space. So connections
read which versions are in force, and only the documents of versions that are not cached. Versions never change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.language import Policy
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies.policies import VersionKey
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.registration.kernel.turns import Pace

T = TypeVar("T")

# A compiled policy takes up to about 50 bytes for each unit of its weight, so this is about 20 MB.
MAX_KEPT_WEIGHT: Final = 400_000


class NotCompiled(Exception):
    """Versions of policies must be compiled before the result can be computed."""

    def __init__(self, missing: Sequence[VersionKey]) -> None:
        super().__init__(f"{len(missing)} versions are not compiled")
        self.missing = missing


class CompiledPolicies:
    """The cache of compiled policies. The least recently used policies are removed first."""

    def __init__(self, max_weight: int = MAX_KEPT_WEIGHT) -> None:
        self._max_weight = max_weight
        self._weight = 0
        self._kept: OrderedDict[VersionKey, Policy] = OrderedDict()

    def get(self, key: VersionKey) -> Policy | None:
        """Return the policy of the version, None if it is not cached."""
        policy = self._kept.get(key)
        if policy is not None:
            self._kept.move_to_end(key)
        return policy

    def keep(self, key: VersionKey, policy: Policy) -> None:
        """Cache the policy of the version."""
        self._forget(key)
        self._kept[key] = policy
        self._weight += policy.weight
        while self._weight > self._max_weight:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: VersionKey) -> None:
        forgotten = self._kept.pop(key, None)
        if forgotten is not None:
            self._weight -= forgotten.weight


class Versions:
    """The compiled policies of one request: the cached ones, and those that were compiled for it."""

    def __init__(self, kept: CompiledPolicies, own: Mapping[VersionKey, Policy]) -> None:
        self._kept = kept
        self._own = own

    def policies_of(self, keys: Iterable[VersionKey]) -> list[Policy]:
        """Return the policies of the versions; raise NotCompiled with all missing versions."""
        found = [(key, self._own.get(key) or self._kept.get(key)) for key in keys]
        missing = [key for key, policy in found if policy is None]
        if missing:
            raise NotCompiled(missing)
        return [policy for _, policy in found if policy is not None]


async def read_with_policies(store: Store, compiled: CompiledPolicies, program: Callable[[Versions], Steps[T]]) -> T:
    """Return the program's result. If policies are missing, compile them in slices and run the program again.

    Raises MalformedPolicy if a stored document cannot be parsed.
    """
    own: dict[VersionKey, Policy] = {}
    versions, pace = Versions(compiled, own), Pace()
    while True:
        try:
            return await store.read(lambda: program(versions))
        except NotCompiled as error:
            missing = error.missing
        for key in missing:
            document = await store.read(lambda key=key: policy_table.policy_document(key))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            # None means that the version was deleted meanwhile, so the program will not find it again.
            if document is not None:
                own[key] = parse_iot_policy(document)
                compiled.keep(key, own[key])
            await pace.rest()
