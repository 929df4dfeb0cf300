"""Owns which account may call which hook function, and the call; implements `registration.kernel.ports.HookClient`."""

from collections.abc import Mapping

from thingmint.core.hooks import HookFailed, Question
from thingmint.core.identifiers import AccountId
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.hooks.target import ANY_ACCOUNT, HookTarget

_ACCOUNT = 4


class Hooks:
    """Calls the target that the settings name for a hook's ARN.

    A function is called for the account in its ARN and for the service's own account. An ARN with ANY_ACCOUNT in the
    settings applies to the functions of this name in all accounts for which the settings have no separate entry.
    """

    def __init__(self, targets: Mapping[str, HookTarget], own_account: AccountId) -> None:
        self._targets = targets
        self._own_account = own_account

    async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
        """Return the hook's decoded answer, unchecked; raise HookFailed if there is none."""
        asking = _account_of(question.asked_for)
        if asking not in (_account_of(hook.target_arn), self._own_account):
            # Another account could guess the name, and have a certificate signed that the function's owner trusts.
            raise HookFailed(f"account {asking} asks for a function of another account, {hook.target_arn}")
        target = self._targets.get(hook.target_arn) or self._targets.get(_of_any_account(hook.target_arn))
        if target is None:
            raise HookFailed(f"the setting hooks has nothing for {hook.target_arn}")
        return await target(question.as_json())


def _account_of(arn: str) -> str:
    return arn.split(":")[_ACCOUNT]


def _of_any_account(arn: str) -> str:
    parts = arn.split(":")
    return ":".join((*parts[:_ACCOUNT], ANY_ACCOUNT, *parts[_ACCOUNT + 1 :]))
