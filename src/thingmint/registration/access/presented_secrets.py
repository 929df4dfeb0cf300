"""Owns the authentication of callers that send an access key and its secret instead of a signature.

EST clients use HTTP Basic (RFC 7030, 3.2.3). An access key is valid while the store has it.
"""

import hmac
from dataclasses import dataclass, field

from thingmint.core.access_key import AccessKey
from thingmint.core.caller import Caller
from thingmint.core.clock import Clock
from thingmint.core.errors import CredentialsExpired, CredentialsUnknown
from thingmint.core.identifiers import Region
from thingmint.registration.access.access_keys import read_access_key, sealing_name
from thingmint.registration.access.principals import Principals
from thingmint.registration.kernel.ports import SecretSealer, Store


@dataclass(frozen=True, slots=True)
class PresentedSecret:
    """An access key's id and secret from a caller. Its repr does not show the secret."""

    access_key_id: str
    secret: str = field(repr=False)


class SecretAuthenticator:
    """Authenticates a caller by an access key with its secret."""

    def __init__(self, store: Store, sealer: SecretSealer, clock: Clock, region: Region) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._region = region
        self._principals = Principals(region)

    async def authenticate(self, presented: PresentedSecret, request_id: str, source_address: str) -> Caller:
        """Return the caller.

        Raises CredentialsUnknown with the same text for a wrong key and a wrong secret, and for temporary credentials,
        which need a session token; CredentialsExpired; AccessDenied if the stored policy cannot be parsed.
        """
        # PostgreSQL's text cannot have NUL.
        is_readable = "\0" not in presented.access_key_id
        access_key = await read_access_key(self._store, presented.access_key_id) if is_readable else None
        if (
            access_key is None
            or access_key.session_token_sha256 is not None
            or not self._is_secret(access_key, presented)
        ):
            raise CredentialsUnknown("The access key or its secret is wrong.")
        if access_key.expires_at is not None and access_key.expires_at <= self._clock.now():
            raise CredentialsExpired("The access key is expired")
        principal = self._principals.principal_of(access_key)
        return Caller(access_key.account, self._region, principal, request_id, source_address)

    def _is_secret(self, access_key: AccessKey, presented: PresentedSecret) -> bool:
        secret = self._sealer.unseal(access_key.sealed_secret, sealing_name(access_key.access_key_id))
        return hmac.compare_digest(secret, presented.secret.encode())
