"""Owns the decision of a template's pre-provisioning hook about a device. Independent of edges and plans."""

import asyncio
from collections.abc import Mapping

from thingmint.core.errors import AccessDenied, Throttled
from thingmint.core.hooks import HOOK_SECONDS, HookBusy, HookFailed
from thingmint.core.provisioning.hook import HookQuestion, hook_answer
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.registration.kernel.authority import RegistrationAuthority

# The same text for every reason, because the hook's answers and failures are for its operator, not for the device.
_NOT_ALLOWED = "The pre-provisioning hook did not allow the device"


async def overrides_of_hook(
    authority: RegistrationAuthority, hook: PreProvisioningHook, question: HookQuestion
) -> Mapping[str, str]:
    """Return the hook's parameter overrides; raise AccessDenied if it does not allow the device or fails.

    Raises Throttled if the hook is busy.
    """
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            answer = hook_answer(await authority.hooks.ask(hook, question))
    except HookBusy as error:
        raise Throttled from error
    except (HookFailed, TimeoutError) as error:
        raise AccessDenied(_NOT_ALLOWED) from error
    if not answer.allow_provisioning:
        raise AccessDenied(_NOT_ALLOWED)
    return answer.parameter_overrides
