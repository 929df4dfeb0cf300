"""Owns the access key: an identifier, a sealed secret, and the user and the policy that it stands for."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from thingmint.core.identifiers import AccountId


class AccessKeyOrigin(StrEnum):
    """What created the key: an operator, the first start, or the service's settings (which may also replace it)."""

    OPERATOR = "OPERATOR"
    FIRST_START = "FIRST_START"
    PRESET = "PRESET"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored access key. Its secrets are sealed, and its repr does not show them.

    ``session_token_sha256`` is set for temporary credentials only and is the hexadecimal digest of their token.
    """

    access_key_id: str
    account: AccountId
    user_name: str
    policy_text: str
    sealed_secret: bytes = field(repr=False)
    session_token_sha256: str | None = field(repr=False)
    created_at: datetime
    expires_at: datetime | None
    origin: AccessKeyOrigin
