"""Owns the asking of hooks by their ARNs; implements `registration.kernel.ports.HookClient`."""

from collections.abc import Mapping

from thingmint.core.hooks import HookFailed, Question
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.hooks.target import HookTarget


class Hooks:
    """Asks what the settings put behind a hook's ARN."""

    def __init__(self, targets: Mapping[str, HookTarget]) -> None:
        self._targets = targets

    async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
        """Return the hook's answer as it came; raise HookFailed if there is none."""
        target = self._targets.get(hook.target_arn)
        if target is None:
            raise HookFailed(f"the setting hooks has nothing for {hook.target_arn}")
        return await target(question.as_json())
