"""Owns what `thingmint issue` asks of a certificate authority, and how a running service answers it over HTTPS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from thingmint.cli.connection import SignedClient


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

    async def issue(self, csr_pem: str, *, active: bool) -> Registered:
        """Return a new certificate for the request's key."""
        ...

    def newest_first(self) -> AsyncIterator[str]:
        """Return the ids of the registered certificates, newest first."""
        ...

    async def certificate(self, certificate_id: str) -> Registered:
        """Return a registered certificate."""
        ...

    async def discard(self, certificate_id: str) -> None:
        """Deactivate and delete a certificate."""
        ...


class HttpsRegistrar:
    """The Registrar that calls a running service."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

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

    async def certificate(self, certificate_id: str) -> Registered:
        """Return a registered certificate."""
        answer = await asyncio.to_thread(self._client.call, "GET", f"/certificates/{certificate_id}", {})
        description = answer["certificateDescription"]
        assert isinstance(description, dict)
        return _registered(description)

    async def discard(self, certificate_id: str) -> None:
        """Deactivate and delete a certificate."""
        path = f"/certificates/{certificate_id}"
        await asyncio.to_thread(self._client.call, "PUT", path, {"newStatus": "INACTIVE"})
        await asyncio.to_thread(self._client.call, "DELETE", path, {})


def _registered(answer: Mapping[str, object]) -> Registered:
    return Registered(str(answer["certificateArn"]), ssl.PEM_cert_to_DER_cert(str(answer["certificatePem"])))
