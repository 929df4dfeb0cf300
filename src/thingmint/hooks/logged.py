"""Owns the log lines of failed hooks: the operator learns the reason, the device does not."""

import asyncio
from typing import Protocol

from thingmint.core.error_text import in_words
from thingmint.core.hooks import HookFailed, Question
from thingmint.core.operational_log import OperationalLog
from thingmint.core.provisioning.stored_template import PreProvisioningHook


class CalledHooks(Protocol):
    """The hooks that are called."""

    async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
        """Return the hook's decoded answer; raise HookFailed if there is none."""
        ...


class LoggedHooks:
    """Calls hooks, and writes a log line for each call that fails or takes too long."""

    def __init__(self, hooks: CalledHooks, log: OperationalLog) -> None:
        self._hooks = hooks
        self._log = log

    async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
        """Return the hook's decoded answer, unchecked; raise HookFailed if there is none."""
        try:
            answer = await self._hooks.ask(hook, question)
            question.check(answer)
        except HookFailed as error:
            self._log.warning("hook failed", hook=hook.target_arn, asked_for=question.asked_for, cause=in_words(error))
            raise
        except asyncio.CancelledError:
            # The time limit of the caller has passed, or the caller has gone.
            self._log.warning("hook gave no answer in time", hook=hook.target_arn, asked_for=question.asked_for)
            raise
        return answer
