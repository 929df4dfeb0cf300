"""Owns the authentication of signed requests by access keys. Independent of operations."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import lru_cache

from thingmint.api.wire.planes import NOT_SERVED
from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.caller import Caller
from thingmint.core.clock import Clock
from thingmint.core.errors import CredentialsExpired, CredentialsUnknown, not_implemented
from thingmint.core.identifiers import AccountId, Region
from thingmint.registration.access.access_keys import (
    ADMINISTRATOR,
    ADMINISTRATOR_POLICY,
    read_access_key,
    sealing_name,
    session_token_digest,
)
from thingmint.registration.access.principals import Principals
from thingmint.registration.kernel.ports import SecretSealer, Store
from thingmint.rest.sigv4.signature import (
    CredentialScope,
    HttpRequest,
    SignedRequest,
    read_signature,
    require_current,
    require_scope,
    require_signature,
    signing_key,
)

# An access key has one signing key for each day and service.
_CACHED_SIGNING_KEYS = 4096
_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)


class SigV4Authenticator:
    """Authenticates signed requests. An access key is valid as long as the store has it.

    Signing keys, each valid for a day, are cached by the sealed secret. A secret itself is in memory only while a
    signing key is derived from it.
    """

    def __init__(
        self,
        store: Store,
        sealer: SecretSealer,
        clock: Clock,
        region: Region,
        *,
        signing_time: Callable[[], datetime] | None = None,
        admits_accounts: bool = False,
    ) -> None:
        """Take the clock that clients sign by, if it is another one, and whether account numbers are access keys.

        ``admits_accounts`` is for tests: a caller whose access key id is an account's twelve digits is that account's
        administrator, with any secret.
        """
        self._signing_time = signing_time or clock.now
        self._admits_accounts = admits_accounts
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._region = region
        self._signing_key = lru_cache(_CACHED_SIGNING_KEYS)(self._make_signing_key)
        self._principals = Principals(region)

    async def authenticate(
        self, request: HttpRequest, request_id: str, source_address: str, signed_for: AbstractSet[str]
    ) -> Caller:
        """Return the caller that signed the request for one of these services.

        Raises a subclass of AuthenticationFailure. The checks are in AWS's order: the signature can be parsed, the
        access key is known, the time is within the limits, the signature matches, the credentials have not expired.
        Raises OperationUnknown afterwards if the request was signed for another service of AWS IoT, AccessDenied if the
        stored policy cannot be read.
        """
        signed = read_signature(request)
        if self._admits_accounts and is_account_key(signed):
            access_key = self._administrator_of(signed.claim.access_key_id)
            self._require_fit(signed, signed_for, NOT_SERVED)
        else:
            access_key = await self._verified(signed, signed_for, NOT_SERVED)
        if signed.claim.scope.service in NOT_SERVED:
            raise not_implemented(f"The service {signed.claim.scope.service}")
        return Caller(
            access_key.account, self._region, self._principals.principal_of(access_key), request_id, source_address
        )

    async def authenticate_web_socket(self, request: HttpRequest, signed_for: AbstractSet[str]) -> AccessKey:
        """Return the access key that signed the opening handshake of a WebSocket for one of these services.

        The signature does not cover a session token in the query. Raises a subclass of AuthenticationFailure.
        """
        return await self._verified(read_signature(request, signs_token=False), signed_for, frozenset())

    async def _verified(
        self, signed: SignedRequest, signed_for: AbstractSet[str], absent: AbstractSet[str]
    ) -> AccessKey:
        access_key = await self._access_key(signed.claim.access_key_id, signed.claim.session_token)
        self._require_fit(signed, signed_for, absent)
        key = self._signing_key(access_key.access_key_id, access_key.sealed_secret, signed.claim.scope)
        require_signature(signed, key)
        if access_key.expires_at is not None and access_key.expires_at <= self._clock.now():
            raise CredentialsExpired("The security token included in the request is expired")
        return access_key

    def _require_fit(self, signed: SignedRequest, signed_for: AbstractSet[str], absent: AbstractSet[str]) -> None:
        require_current(signed, self._signing_time())
        require_scope(signed, self._region, signed_for, absent=absent)

    async def _access_key(self, access_key_id: str, session_token: str | None) -> AccessKey:
        access_key = await read_access_key(self._store, access_key_id)
        if access_key is None or not _has_token(access_key, session_token):
            raise CredentialsUnknown("The security token included in the request is invalid.")
        return access_key

    def _administrator_of(self, account: str) -> AccessKey:
        return AccessKey(
            access_key_id=account,
            account=AccountId(account),
            user_name=ADMINISTRATOR,
            policy_text=ADMINISTRATOR_POLICY,
            sealed_secret=b"",
            session_token_sha256=None,
            created_at=self._clock.now(),
            expires_at=None,
            origin=AccessKeyOrigin.OPERATOR,
        )

    def _make_signing_key(self, access_key_id: str, sealed_secret: bytes, scope: CredentialScope) -> bytes:
        return signing_key(self._sealer.unseal(sealed_secret, sealing_name(access_key_id)).decode(), scope)


def is_account_key(signed: SignedRequest) -> bool:
    """Return whether the access key is an account's number, and the signature is in the header.

    A signature in the query is not accepted: any page in a browser could send such a request to this machine. Before it
    sends the header, a browser asks the service for permission (CORS), which the service does not give.
    """
    return b"authorization" in signed.headers and _ACCOUNT.fullmatch(signed.claim.access_key_id) is not None


def _has_token(access_key: AccessKey, session_token: str | None) -> bool:
    if access_key.session_token_sha256 is None or session_token is None:
        return access_key.session_token_sha256 is None and session_token is None
    return hmac.compare_digest(access_key.session_token_sha256, session_token_digest(session_token))
