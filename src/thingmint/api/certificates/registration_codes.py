"""Owns the operations of registration codes. Their rules are in `registration.certificates.registration_codes`."""

from thingmint.api.wire.messages import Message
from thingmint.core.caller import Caller
from thingmint.registration.certificates import registration_codes
from thingmint.registration.kernel.authority import RegistrationAuthority


class GetRegistrationCodeRequest(Message, frozen=True, kw_only=True):
    pass


class GetRegistrationCodeResponse(Message, frozen=True, kw_only=True):
    registration_code: str


async def get_registration_code(
    authority: RegistrationAuthority, caller: Caller, request: GetRegistrationCodeRequest
) -> GetRegistrationCodeResponse:
    """Answer with the account's registration code, a new one if it has none.

    64 hexadecimal digits for an account and region, until it is deleted.
    """
    del request
    return GetRegistrationCodeResponse(registration_code=await registration_codes.registration_code(authority, caller))


class DeleteRegistrationCodeRequest(Message, frozen=True, kw_only=True):
    pass


async def delete_registration_code(
    authority: RegistrationAuthority, caller: Caller, request: DeleteRegistrationCodeRequest
) -> None:
    """Delete the account's registration code."""
    del request
    await registration_codes.delete_registration_code(authority, caller)
