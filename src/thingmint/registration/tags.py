"""Owns the tags that a resource is created with; every creation stores them through this one function."""

from collections.abc import Mapping

from thingmint.core.errors import InvalidRequest
from thingmint.registration.ports import Transaction
from thingmint.registration.steps import Steps


def store_tags(transaction: Transaction, resource_arn: str, tags: Mapping[str, str]) -> Steps[None]:
    """Store the tags of a new resource in the transaction that creates it; raise InvalidRequest if it cannot have them.

    Tags are refused rather than dropped: whoever sets them relies on them.
    """
    del transaction, resource_arn
    if tags:
        raise InvalidRequest("Tags are not implemented by Thingmint")
    yield from ()
