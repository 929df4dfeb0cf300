"""Owns the principal of an access key, with the key's policy. Independent of signatures and sessions."""

from functools import lru_cache

from thingmint.core.access_key import AccessKey
from thingmint.core.caller import Principal
from thingmint.core.errors import AccessDenied, MalformedPolicy
from thingmint.core.identifiers import Region, Scope, user_arn
from thingmint.core.policies.language import Policy, parse_policy

# Most access keys share their policy with other keys.
_CACHED_POLICIES = 1024
REMEMBERED_KEYS = 1024


class Principals:
    """Creates the principals of access keys, and caches parsed policies."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._policy = lru_cache(_CACHED_POLICIES)(parse_policy)
        self._known: dict[str, tuple[AccessKey, Principal]] = {}

    def principal_of(self, access_key: AccessKey) -> Principal:
        """Return the principal; raise AccessDenied if the stored policy cannot be parsed.

        The same object is returned until a key with another content is given, which `records` reads for every request.
        """
        known = self._known.get(access_key.access_key_id)
        if known is not None and known[0] is access_key:
            return known[1]
        principal = self._new_principal(access_key)
        if len(self._known) >= REMEMBERED_KEYS:
            self._known.clear()
        self._known[access_key.access_key_id] = access_key, principal
        return principal

    def _new_principal(self, access_key: AccessKey) -> Principal:
        arn = user_arn(Scope(access_key.account, self._region), access_key.user_name)
        is_temporary = access_key.session_token_sha256 is not None
        issued_at = access_key.created_at if is_temporary else None
        return Principal(arn, (self._readable_policy(arn, access_key),), issued_at)

    def _readable_policy(self, arn: str, access_key: AccessKey) -> Policy:
        try:
            return self._policy(access_key.policy_text)
        except MalformedPolicy as error:
            # The policy was valid when it was stored. Without a valid policy nothing is allowed.
            raise AccessDenied(f"The policy of {arn} cannot be read.") from error
