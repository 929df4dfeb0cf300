"""Owns the principals that open connections: certificates, and access keys of IAM users. Independent of storage."""

from dataclasses import dataclass
from typing import TypeAlias

from thingmint.core.identifiers import AccessKeyPrincipalId, CertificateId, PrincipalId, Scope
from thingmint.core.policies.target import CertificateTarget

# A certificate's id has hexadecimal digits only.
_SEPARATOR = ":"


@dataclass(frozen=True, slots=True)
class AccessKeyTarget:
    """An access key with which a connection was opened; ``user_id`` is the unique id of its user, ``AIDA…``."""

    scope: Scope
    user_id: str
    access_key_id: str

    @property
    def principal_id(self) -> AccessKeyPrincipalId:
        """The id of the user and the access key."""
        return AccessKeyPrincipalId(f"{self.user_id}{_SEPARATOR}{self.access_key_id}")


PrincipalTarget: TypeAlias = CertificateTarget | AccessKeyTarget
Watched: TypeAlias = PrincipalTarget | Scope
"""What a gateway looks at again after changes: principals of connections, and accounts whose messages it has."""


def parse_principal_id(text: str) -> PrincipalId:
    """Return the id of a principal that was stored as a text."""
    return AccessKeyPrincipalId(text) if _SEPARATOR in text else CertificateId(text)


def principal_target(scope: Scope, principal_id: PrincipalId) -> PrincipalTarget:
    """Return the principal of an account with this id."""
    user_id, separator, access_key_id = principal_id.partition(_SEPARATOR)
    if separator:
        return AccessKeyTarget(scope, user_id, access_key_id)
    return CertificateTarget(scope, CertificateId(user_id))


def is_access_key(principal_id: PrincipalId) -> bool:
    """Return whether the principal is an access key."""
    return _SEPARATOR in principal_id


def shown_principal(principal_id: PrincipalId) -> str:
    """Return the identifier in events: of a certificate its id, of an access key its user's, as at AWS IoT."""
    return principal_id.partition(_SEPARATOR)[0]
