"""Owns the question whether a database belongs to the keys at hand; knows neither files nor engines.

Several services may share a database only if they share the sealing key (each must read every access key's secret) and
the issuing authority (a broker trusts one). A service that did not would serve some requests and fail on others.
"""

from collections.abc import Sequence

from thingmint.core.access_key import AccessKey
from thingmint.core.certificate import Certificate
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import Scope
from thingmint.registration.access_keys import sealing_name
from thingmint.registration.ports import SecretSealer, Steps, Store, Transaction


class ForeignDatabase(Exception):
    """The database was filled with other keys; the message says what shows it."""


async def require_own_database(store: Store, sealer: SecretSealer, scope: Scope, issuer_id: str) -> None:
    """Return if what the database holds was sealed and issued with these keys; raise ForeignDatabase otherwise."""

    def program(transaction: Transaction) -> Steps[tuple[Sequence[AccessKey], Certificate | None]]:
        access_keys = yield from transaction.access_keys(None)
        newest = yield from transaction.certificate_summaries(scope, None, 1, ascending=False)
        if not newest:
            return access_keys, None
        return access_keys, (yield from transaction.certificate(scope, newest[0].certificate_id))

    access_keys, certificate = await store.read(program)
    for access_key in access_keys:
        _require_unsealable(access_key, sealer)
    if certificate is not None and certificate.issuer_id != issuer_id:
        raise ForeignDatabase(f"certificate {certificate.certificate_id} in it was issued by another authority")


def _require_unsealable(access_key: AccessKey, sealer: SecretSealer) -> None:
    try:
        sealer.unseal(access_key.sealed_secret, sealing_name(access_key.access_key_id))
    except ServiceUnavailable as error:
        raise ForeignDatabase(
            f"the secret of access key {access_key.access_key_id} in it was sealed with another key"
        ) from error
