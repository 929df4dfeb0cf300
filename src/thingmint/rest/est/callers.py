"""Owns the authentication of EST requests: a device by its connection's certificate, or a caller by an access key.

RFC 7030, 3.3.2 and 3.2.3. If a request has an Authorization header, this header alone decides, even if the client has
also shown a certificate, for example one from its maker.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Final, Protocol

from msgspec import Struct

from thingmint.core.caller import Caller
from thingmint.core.errors import AuthenticationMissing, CredentialsUnknown
from thingmint.host.connections.peer_tls import Peer
from thingmint.registration.access.presented_secrets import PresentedSecret
from thingmint.registration.provisioning.enrollment import Enrollee

_BASIC: Final = b"basic"


class IdentifiedDevice(Protocol):
    """A device whose certificate is registered, ACTIVE and not expired, or a provisioning claim."""

    @property
    def enrollee(self) -> Enrollee:
        """The device as an author of certificate requests."""
        ...

    async def may_publish(self, topic: str) -> bool:
        """Return whether its policies allow iot:Publish on the topic; raise AccessDenied if they cannot be read."""
        ...

    async def require_publish(self, topics: Iterable[str]) -> None:
        """Raise AccessDenied unless its policies allow iot:Publish on all the topics."""
        ...


class KnownDevices(Protocol):
    """Identifies devices by their certificates, like the MQTT port."""

    async def identify(self, peer: Peer, source_address: str) -> IdentifiedDevice:
        """Return the device; raise CredentialsUnknown if its certificate is unknown, AccessDenied if not admitted."""
        ...


class AccessKeys(Protocol):
    """Authenticates callers by their access keys."""

    async def authenticate(self, presented: PresentedSecret, request_id: str, source_address: str) -> Caller:
        """Return the caller; raise AuthenticationFailure."""
        ...


class ShownCredentials(Struct, frozen=True):
    """The credentials of a request: Authorization header and client certificate."""

    peer: Peer | None
    authorization: bytes | None
    source_address: str
    request_id: str

    @property
    def shows_certificate(self) -> bool:
        """Whether the connection's client has shown a certificate."""
        return self.peer is not None and bool(self.peer.chain)


class Callers(Struct, frozen=True):
    """Authenticates EST requests."""

    devices: KnownDevices
    access_keys: AccessKeys

    async def author(self, credentials: ShownCredentials) -> IdentifiedDevice | Caller:
        """Return the author of a request; raise AuthenticationFailure or AccessDenied."""
        if credentials.authorization is not None:
            presented = _presented(credentials.authorization)
            return await self.access_keys.authenticate(presented, credentials.request_id, credentials.source_address)
        return await self.device(credentials)

    async def device(self, credentials: ShownCredentials) -> IdentifiedDevice:
        """Return the device of the connection; raises the same errors as `author`."""
        if credentials.peer is None or not credentials.shows_certificate:
            raise AuthenticationMissing("Show a client certificate, or, to enroll, an access key by HTTP Basic")
        return await self.devices.identify(credentials.peer, credentials.source_address)


def _presented(authorization: bytes) -> PresentedSecret:
    """Return user and password of a Basic header (RFC 7617); raise CredentialsUnknown for any other header."""
    scheme, _, credentials = authorization.partition(b" ")
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode() if scheme.lower() == _BASIC else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    access_key_id, colon, secret = text.partition(":")
    if not colon:
        raise CredentialsUnknown("The Authorization header is not HTTP Basic with an access key and its secret")
    return PresentedSecret(access_key_id, secret)
