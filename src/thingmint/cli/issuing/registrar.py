"""Owns what `thingmint issue` asks of a certificate authority, and how a running service answers it over HTTPS."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable, SignedClient

_NOT_FOUND = "ResourceNotFoundException"


@dataclass(frozen=True, slots=True)
class Registered:
    """A certificate as the registry gave it."""

    arn: str
    der: bytes


class Registrar(Protocol):
    """A certificate authority as a factory sees it.

    Each verb raises ServiceUnreachable where it is not known whether the call had an effect, ServiceRefused where it
    had none.
    """

    @property
    def trust_anchor_sha256(self) -> str | None:
        """The SHA-256 of the file with the service's trust anchor, where there is one: one way to tell services."""
        ...

    async def issue(self, csr_pem: str, *, active: bool) -> Registered:
        """Return a new certificate for the request's key."""
        ...

    def newest_first(self) -> AsyncIterator[str]:
        """Return the ids of the registered certificates, newest first."""
        ...

    async def find(self, certificate_id: str) -> Registered | None:
        """Return a registered certificate, None if there is none with this id."""
        ...

    async def discard(self, certificate_id: str) -> None:
        """Deactivate and delete a certificate, if it is there."""
        ...


class HttpsRegistrar:
    """The Registrar that calls a running service."""

    def __init__(self, client: SignedClient, trust_anchor_sha256: str | None) -> None:
        self._client = client
        self._trust_anchor_sha256 = trust_anchor_sha256

    @property
    def trust_anchor_sha256(self) -> str | None:
        """The SHA-256 of the file with the service's trust anchor; None over plain HTTP."""
        return self._trust_anchor_sha256

    async def issue(self, csr_pem: str, *, active: bool) -> Registered:
        """Return a new certificate for the request's key."""
        answer = await asyncio.to_thread(
            self._client.call,
            "POST",
            "/certificates",
            {"setAsActive": str(active).lower()},
            {"certificateSigningRequest": csr_pem},
        )
        return _registered(answer)

    async def newest_first(self) -> AsyncIterator[str]:
        """Return the ids of the registered certificates, newest first."""
        query = {"pageSize": "250", "isAscendingOrder": "false"}
        while True:
            page = await asyncio.to_thread(self._client.call, "GET", "/certificates", query)
            certificates = page.get("certificates")
            for certificate in certificates if isinstance(certificates, list) else ():
                yield str(certificate["certificateId"])
            if not (marker := page.get("nextMarker")):
                return
            query["marker"] = str(marker)

    async def find(self, certificate_id: str) -> Registered | None:
        """Return a registered certificate, None if there is none with this id."""
        try:
            answer = await asyncio.to_thread(self._client.call, "GET", f"/certificates/{certificate_id}", {})
        except ServiceRefused as refusal:
            if refusal.name != _NOT_FOUND:
                raise
            return None
        description = answer.get("certificateDescription")
        return _registered(description if isinstance(description, dict) else {})

    async def discard(self, certificate_id: str) -> None:
        """Deactivate and delete a certificate, if it is there."""
        path = f"/certificates/{certificate_id}"
        try:
            await asyncio.to_thread(self._client.call, "PUT", path, {"newStatus": "INACTIVE"})
            await asyncio.to_thread(self._client.call, "DELETE", path, {})
        except ServiceRefused as refusal:
            if refusal.name != _NOT_FOUND:
                raise


def file_sha256(path: str | Path | None) -> str | None:
    """Return the SHA-256 of a file's content, None for no file."""
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _registered(answer: Mapping[str, object]) -> Registered:
    try:
        return Registered(str(answer["certificateArn"]), ssl.PEM_cert_to_DER_cert(str(answer["certificatePem"])))
    except (KeyError, ValueError) as error:
        # Whatever stands between, the request may have reached the service.
        raise ServiceUnreachable("the answer holds no certificate") from error
