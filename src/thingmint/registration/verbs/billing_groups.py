"""Owns what a transaction does with billing groups; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.core.identifiers import BillingGroupName, Scope
from thingmint.core.registry.thing_group import BillingGroup
from thingmint.records.paging import Listed, PageRequest
from thingmint.records.steps import Steps


class BillingGroupVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def billing_group(self, scope: Scope, name: BillingGroupName) -> Steps[BillingGroup | None]:
        """Return the billing group, or None."""
        ...

    def billing_group_for_share(self, scope: Scope, name: BillingGroupName) -> Steps[BillingGroup | None]:
        """Return the billing group and keep it as it is until this transaction ends; others may do the same."""
        ...

    def billing_group_for_update(self, scope: Scope, name: BillingGroupName) -> Steps[BillingGroup | None]:
        """Return the billing group and keep others from changing or joining it until this transaction ends."""
        ...

    def insert_billing_group(self, group: BillingGroup) -> Steps[BillingGroup | None]:
        """Store a new group; if its name is taken, change nothing and return the group that has it, for update."""
        ...

    def update_billing_group(self, group: BillingGroup) -> Steps[None]:
        """Store description and version of a group that this transaction holds for update."""
        ...

    def delete_billing_group(self, group: BillingGroup) -> Steps[None]:
        """Delete a group that this transaction holds for update."""
        ...

    def billing_groups(self, scope: Scope, prefix: str, page: PageRequest) -> Steps[Sequence[Listed[BillingGroupName]]]:
        """Return up to ``page.size`` names that start with the prefix, in their order."""
        ...
