"""Owns what a transaction does with role aliases; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.core.identifiers import RoleAliasName, Scope
from thingmint.core.registry.role_alias import RoleAlias, RoleAliasEntry
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps


class RoleAliasVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def role_alias(self, scope: Scope, name: RoleAliasName) -> Steps[RoleAlias | None]:
        """Return the role alias, or None."""
        ...

    def role_alias_for_update(self, scope: Scope, name: RoleAliasName) -> Steps[RoleAlias | None]:
        """Return the role alias and keep others from changing it until this transaction ends."""
        ...

    def role_aliases(self, scope: Scope, page: PageRequest) -> Steps[Sequence[RoleAliasEntry]]:
        """Return up to ``page.size`` role aliases in the order of their creation."""
        ...

    def insert_role_alias(self, role_alias: RoleAlias, most: int) -> Steps[None]:
        """Store a new role alias; raise ResourceExists, or LimitExceeded if the account has so many."""
        ...

    def update_role_alias(self, role_alias: RoleAlias) -> Steps[None]:
        """Store role, duration and time of one that this transaction holds for update."""
        ...

    def delete_role_alias(self, role_alias: RoleAlias) -> Steps[None]:
        """Delete one that this transaction holds for update."""
        ...
