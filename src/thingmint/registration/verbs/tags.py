"""Owns what a transaction does with tags; knows no SQL."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from thingmint.core.registry.tag import Taggable
from thingmint.records.steps import Steps


class TagVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def has_taggable(self, resource: Taggable) -> Steps[bool]:
        """Say whether the resource exists."""
        ...

    def hold_taggable(self, resource: Taggable) -> Steps[bool]:
        """Say whether the resource exists, and keep others from deleting or tagging it until this transaction ends."""
        ...

    def tags(self, resource_arn: str) -> Steps[Mapping[str, str]]:
        """Return the resource's tags in the order of their keys."""
        ...

    def put_tags(self, resource_arn: str, tags: Mapping[str, str]) -> Steps[None]:
        """Store the tags, in place of those with the same keys."""
        ...

    def remove_tags(self, resource_arn: str, keys: Sequence[str]) -> Steps[None]:
        """Delete the tags with these keys, those that there are."""
        ...

    def delete_tags(self, resource_arn: str) -> Steps[None]:
        """Delete all tags of a resource that this transaction deletes."""
        ...
