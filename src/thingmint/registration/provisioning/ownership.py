"""Owns ownership tokens, and the deletion of certificates that were not used before their token expired."""

from __future__ import annotations

import base64
from datetime import datetime

from thingmint.core.audit_entry import AuditEntry, service_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.provisioning.ownership import (
    Ownership,
    OwnershipTokenInvalid,
    new_ownership,
    ownership_of,
    token_content,
    token_name,
)
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.provisioning import claims as claim_table
from thingmint.records.registry import attachments as attachment_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.standing import record_deletion
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change


def ownership_token(authority: RegistrationAuthority, ownership: Ownership) -> str:
    """Return the token: opaque, sealed for the account, 92 characters. Small devices reserve 512."""
    sealed = authority.sealer.seal(token_content(ownership), token_name(ownership.scope))
    return base64.b64encode(sealed).decode("ascii")


def redeemed_token(authority: RegistrationAuthority, caller: Caller, token: str) -> Ownership:
    """Return the ownership of a token; raise OwnershipTokenInvalid for an empty, foreign, changed or expired one.

    Within its hour, a device can use a token again for the same request, for instance because the answer was lost.
    `redemption` compares the requests.
    """
    if not token:
        raise OwnershipTokenInvalid("Certificate ownership token cannot be empty.")
    ownership = _unsealed(authority, caller, token)
    if not ownership.is_valid_at(authority.clock.now()):
        raise OwnershipTokenInvalid("Certificate ownership token has expired.")
    return ownership


def record_ownership(certificate: Certificate) -> Steps[None]:
    """Record with a new certificate when it is deleted if unused. `ownership_of_new` returns the token's content."""
    return claim_table.insert_ownership(ownership_of_new(certificate))


def ownership_of_new(certificate: Certificate) -> Ownership:
    """Return the ownership of a newly issued certificate."""
    return new_ownership(certificate.scope, certificate.certificate_id, certificate.created_at)


async def sweep_unused_certificates(authority: RegistrationAuthority, limit: int) -> int:
    """Check up to ``limit`` certificates whose token has expired and delete unused ones; return how many were checked.

    A certificate was used if it is not PENDING_ACTIVATION, or has a thing or a policy. The caller calls again at once
    while the result is ``limit``.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[int]]:
        ended = yield from claim_table.expired_ownerships(now, limit)
        entries = []
        for ownership in ended:
            deleted = yield from _delete_unless_used(ownership, now)
            yield from claim_table.delete_ownership(ownership)
            if deleted is not None:
                entries.append(_entry(authority, deleted))
        return Change(len(ended), tuple(entries), tuple(entry.resource for entry in entries))

    return await change(authority, program)


def _delete_unless_used(ownership: Ownership, at: datetime) -> Steps[Certificate | None]:
    certificate = yield from certificate_table.certificate_for_update(ownership.scope, ownership.certificate_id)
    if certificate is None or certificate.status is not CertificateStatus.PENDING_ACTIVATION:
        return None
    attached = yield from attachment_table.principal_attachments(certificate.scope, certificate.arn)
    if attached.things or attached.policies:
        return None
    yield from certificate_table.delete_certificate(certificate)
    yield from record_deletion(certificate, at)
    return certificate


def _entry(authority: RegistrationAuthority, certificate: Certificate) -> AuditEntry:
    return service_entry(
        certificate.scope,
        authority.clock.now(),
        "DeleteCertificate",
        certificate.arn,
        status=certificate.status,
        issuer_id=certificate.issuer_id or "",
        serial_number=f"{certificate.serial_number:x}",
        reason="ownership token ended",
    )


def _unsealed(authority: RegistrationAuthority, caller: Caller, token: str) -> Ownership:
    try:
        sealed = base64.b64decode(token, validate=True)
        content = authority.sealer.unseal(sealed, token_name(caller.scope))
    except (ValueError, ServiceUnavailable) as error:
        # The sealer reports text that it cannot open as damage of the store. Here a device has sent it.
        raise OwnershipTokenInvalid("Certificate ownership token is not valid.") from error
    return ownership_of(caller.scope, content)
