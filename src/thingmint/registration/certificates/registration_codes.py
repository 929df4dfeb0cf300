"""Owns the registration code of an account. A signature of the code with a CA's key proves possession of the key."""

from __future__ import annotations

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import ResourceNotFound, Throttled
from thingmint.core.identifiers import iot_arn
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change

# AWS has no ARN for it. This one is for the audit trail.
_RESOURCE = "registrationcode"


async def registration_code(authority: RegistrationAuthority, caller: Caller) -> str:
    """Return the account's registration code in the region. The first call creates it."""
    present = await authority.store.read(lambda: ca_certificate_table.registration_code(caller.scope))
    return present or await _create(authority, caller)


async def delete_registration_code(authority: RegistrationAuthority, caller: Caller) -> None:
    """Delete the account's registration code, so that the next call creates a new one; raise ResourceNotFound."""
    entry = audit_entry(caller, authority.clock.now(), "DeleteRegistrationCode", iot_arn(caller.scope, _RESOURCE))

    def program() -> Steps[Change[None]]:
        if not (yield from ca_certificate_table.delete_registration_code(caller.scope)):
            raise ResourceNotFound("The account has no registration code in this region")
        return Change(None, (entry,))

    await change(authority, program)


async def _create(authority: RegistrationAuthority, caller: Caller) -> str:
    now = authority.clock.now()
    code = authority.new_registration_code()
    entry = audit_entry(caller, now, "GetRegistrationCode", iot_arn(caller.scope, _RESOURCE))

    def program() -> Steps[Change[str]]:
        if (yield from ca_certificate_table.insert_registration_code(caller.scope, code, now)):
            return Change(code, (entry,))
        # Another request stored a code first.
        stored = yield from ca_certificate_table.registration_code(caller.scope)
        if stored is None:
            raise Throttled("The registration code was made and deleted at the same time; ask again")
        return Change(stored, ())

    return await change(authority, program)
