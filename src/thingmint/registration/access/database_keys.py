"""Owns the check that a database belongs to the keys of this node. Independent of files and engines.

Nodes can share a database only if they share the sealing key, with which each reads every access key's secret, and the
issuers, because a broker trusts only those. Otherwise a node would serve some requests and fail on others.
"""

from collections.abc import Collection

from thingmint.core.access_key import AccessKey
from thingmint.core.errors import ServiceUnavailable
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.access.access_keys import sealing_name
from thingmint.registration.kernel.ports import SecretSealer, Store


class ForeignDatabase(Exception):
    """The database was written with other keys. The message gives the evidence."""


async def require_own_database(store: Store, sealer: SecretSealer, issuer_ids: Collection[str]) -> None:
    """Raise ForeignDatabase unless the database's content was sealed with this key and issued by one of these issuers.

    The issuers are active or retired.
    """
    for access_key in await store.read(lambda: access_key_table.access_keys(None)):
        _require_unsealable(access_key, sealer)
    newest = await store.read(lambda: certificate_table.newest_issued())
    if newest is not None and newest.issuer_id not in issuer_ids:
        raise ForeignDatabase(f"certificate {newest.certificate_id} in it was issued by another authority")


def _require_unsealable(access_key: AccessKey, sealer: SecretSealer) -> None:
    try:
        sealer.unseal(access_key.sealed_secret, sealing_name(access_key.access_key_id))
    except ServiceUnavailable as error:
        raise ForeignDatabase(
            f"the secret of access key {access_key.access_key_id} in it was sealed with another key"
        ) from error
