"""Owns the calls of `thingmint issue` to a certificate authority, and their form over HTTPS."""

import asyncio
import hashlib
import json
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable, SignedClient
from thingmint.host.given_files import read_given


class Registered(Struct, frozen=True):
    """A certificate in the registry, with its id."""

    arn: str
    der: bytes


class Registrar(Protocol):
    """A certificate authority, from the view of a factory.

    Each method raises ServiceUnreachable if it is not known whether the call had an effect, and ServiceRefused if it
    had none.
    """

    @property
    def trust_anchor_sha256(self) -> str | None:
        """The SHA-256 of the file with the service's trust anchor, if there is one; helps to distinguish services."""
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
        """Deactivate and delete a certificate, if it exists."""
        ...


class DeviceRegistrar(Protocol):
    """A service that registers whole devices. Each method raises the errors of a Registrar's methods."""

    @property
    def trust_anchor_sha256(self) -> str | None:
        """The SHA-256 of the file with the service's trust anchor, if there is one."""
        ...

    async def register_thing(self, template: str, parameters: Mapping[str, str]) -> Registered:
        """Carry out a provisioning template atomically; return its certificate."""
        ...

    async def certificates_of_thing(self, thing: str) -> list[str]:
        """Return the ids of the certificates that are attached to a thing, none if there is no such thing."""
        ...

    async def find(self, certificate_id: str) -> Registered | None:
        """Return a registered certificate, None if there is none with this id."""
        ...


class HttpsRegistrar:
    """The Registrar that calls a running service."""

    def __init__(
        self, client: SignedClient, trust_anchor_sha256: str | None, production: Mapping[str, str] | None = None
    ) -> None:
        """Create a registrar; with ``production``, requests for certificates have batch, operator and station."""
        self._client = client
        self._production = production or {}
        self.trust_anchor_sha256 = trust_anchor_sha256
        """The SHA-256 of the file with the service's trust anchor; None over plain HTTP."""

    async def issue(self, csr_pem: str, *, active: bool) -> Registered:
        """Return a new certificate for the request's key."""
        if self._production:
            # CreateCertificateFromCsr has no member for the facts of the production.
            parameters = {"SigningRequest": csr_pem, **self._production}
            return await self.register_thing(certificate_template(active=active), parameters)
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
            if not refusal.is_not_found:
                raise
            return None
        description = answer.get("certificateDescription")
        return _registered(description if isinstance(description, dict) else {})

    async def register_thing(self, template: str, parameters: Mapping[str, str]) -> Registered:
        """Carry out a provisioning template atomically; return its certificate."""
        body = {"templateBody": template, "parameters": dict(parameters)}
        answer = await asyncio.to_thread(self._client.call, "POST", "/things", {}, body)
        arns = answer.get("resourceArns")
        arn = next((str(arn) for arn in arns.values() if ":cert/" in str(arn)), "") if isinstance(arns, dict) else ""
        return _registered({"certificateArn": arn, "certificatePem": answer.get("certificatePem")})

    async def certificates_of_thing(self, thing: str) -> list[str]:
        """Return the ids of the certificates that are attached to a thing, none if there is no such thing."""
        try:
            path = f"/things/{urllib.parse.quote(thing, safe='')}/principals"
            answer = await asyncio.to_thread(self._client.call, "GET", path, {})
        except ServiceRefused as refusal:
            if not refusal.is_not_found:
                raise
            return []
        principals = answer.get("principals")
        return [str(each).rpartition("/")[2] for each in principals] if isinstance(principals, list) else []

    async def discard(self, certificate_id: str) -> None:
        """Deactivate and delete a certificate, if it exists."""
        path = f"/certificates/{certificate_id}"
        try:
            await asyncio.to_thread(self._client.call, "PUT", path, {"newStatus": "INACTIVE"})
            await asyncio.to_thread(self._client.call, "DELETE", path, {})
        except ServiceRefused as refusal:
            if not refusal.is_not_found:
                raise


def certificate_template(*, active: bool) -> str:
    """Return a provisioning template with a certificate for the parameter SigningRequest, and nothing else."""
    properties = {
        "CertificateSigningRequest": {"Ref": "SigningRequest"},
        "Status": "ACTIVE" if active else "INACTIVE",
    }
    return json.dumps(
        {
            "Parameters": {"SigningRequest": {"Type": "String"}},
            "Resources": {"certificate": {"Type": "AWS::IoT::Certificate", "Properties": properties}},
        }
    )


def file_sha256(path: str | Path | None) -> str | None:
    """Return the SHA-256 of a file's content, None for no file."""
    return None if path is None else hashlib.sha256(read_given(Path(path))).hexdigest()


def _registered(answer: Mapping[str, object]) -> Registered:
    try:
        return Registered(str(answer["certificateArn"]), ssl.PEM_cert_to_DER_cert(str(answer["certificatePem"])))
    except (KeyError, ValueError) as error:
        # The answer may be from a proxy, and the request may have reached the service.
        raise ServiceUnreachable("the answer holds no certificate") from error
