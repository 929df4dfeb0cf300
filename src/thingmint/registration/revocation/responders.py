"""Owns the keys that sign status responses: one for each CA on each node, with certificates valid for two days."""

from __future__ import annotations

import asyncio
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct, field

from thingmint.core.audit_entry import service_entry
from thingmint.core.identifiers import Scope, SerialNumber, iot_arn
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.revocation.ocsp import OCSPResponder
from thingmint.issuance.revocation.responder_certificate import issue_responder_certificate
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change

_ACTION = "IssueResponderCertificate"


class Responders(Struct):
    """The responders of this node. They are created when first needed, and their keys are only in memory."""

    authority: RegistrationAuthority
    scope: Scope
    """The account and region whose audit trail records the certificates."""
    _responders: dict[str, OCSPResponder] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def present(self, ca: IssuingCA, now: datetime) -> OCSPResponder | None:
        """Return the CA's responder if it has one that does not expire soon."""
        responder = self._responders.get(ca.issuer_id)
        return responder if responder is not None and responder.is_fresh(now) else None

    async def of(self, ca: IssuingCA, now: datetime) -> OCSPResponder:
        """Return the CA's responder, with a new certificate if half of the last one's validity has passed.

        Raises IssuerUnfit if the CA cannot certify one, ServiceUnavailable if its key or the database fails or this
        node's clock cannot be trusted.
        """
        async with self._lock:
            present = self.present(ca, now)
            if present is not None:
                return present
            self.authority.require_right_clock()
            private_key = ec.generate_private_key(ec.SECP256R1())
            serial_number = self.authority.serial_numbers()
            # Before the signature, so that every signed serial number has a record.
            await self._record(ca, serial_number, now)
            certificate = await issue_responder_certificate(ca, private_key.public_key(), serial_number, now)
            made = self._responders[ca.issuer_id] = OCSPResponder(certificate, private_key)
            return made

    async def _record(self, ca: IssuingCA, serial_number: SerialNumber, now: datetime) -> None:
        resource = iot_arn(self.scope, f"issuer/{ca.issuer_id}")
        detail = {"issuer_id": ca.issuer_id, "serial_number": f"{serial_number:x}"}
        entry = service_entry(self.scope, now, _ACTION, resource, **detail)

        def program() -> Steps[Change[None]]:
            yield from ()
            return Change(None, (entry,))

        await change(self.authority, program)
