"""Owns what a transaction does with access keys; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.core.access_key import AccessKey
from thingmint.core.identifiers import AccountId
from thingmint.records.steps import Steps


class AccessKeyVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def access_key(self, access_key_id: str) -> Steps[AccessKey | None]:
        """Return the access key, or None."""
        ...

    def access_keys(self, account: AccountId | None) -> Steps[Sequence[AccessKey]]:
        """Return the access keys of an account, or of all, oldest first."""
        ...

    def insert_access_key(self, access_key: AccessKey) -> Steps[None]:
        """Store a new access key; raise InvalidRequest if its identifier exists."""
        ...

    def delete_access_key(self, access_key_id: str) -> Steps[bool]:
        """Delete the access key; say whether it existed."""
        ...
