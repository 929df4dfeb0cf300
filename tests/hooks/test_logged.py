"""Hooks that fail are told of in the log, where their operator reads it."""

import asyncio

import pytest
from tests.support.registration.authority import Hook
from tests.support.registration.provisioning import HOOK_ARN
from tests.support.services.recorded_log import RecordedLog

from thingmint.core.hooks import HookFailed
from thingmint.core.identifiers import CertificateId
from thingmint.core.provisioning.hook import HookQuestion
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.hooks import LoggedHooks

HOOK = PreProvisioningHook(HOOK_ARN)
QUESTION = HookQuestion(CertificateId("a"), CertificateId("b"), "pem", "arn:template", "client", {"k": "secret"})


async def test_an_answer_is_passed_on_without_a_word() -> None:
    log = RecordedLog()
    assert await LoggedHooks(Hook({"allowProvisioning": True}), log).ask(HOOK, QUESTION) == {"allowProvisioning": True}
    assert not log.lines


async def test_an_answer_of_the_wrong_form_is_told() -> None:
    log = RecordedLog()
    with pytest.raises(HookFailed):
        await LoggedHooks(Hook({"allowProvisioning": "yes"}), log).ask(HOOK, QUESTION)
    ((level, event, facts),) = log.lines
    assert (level, event, facts["cause"]) == ("warning", "hook failed", "allowProvisioning is neither true nor false")


@pytest.mark.parametrize(
    ("error", "event", "cause"),
    [
        (HookFailed("status 500"), "hook failed", {"cause": "status 500"}),
        (asyncio.CancelledError(), "hook gave no answer in time", {}),
    ],
)
async def test_a_failure_is_told_with_its_cause_and_without_parameters(
    error: BaseException, event: str, cause: dict[str, str]
) -> None:
    log = RecordedLog()
    with pytest.raises(type(error)):
        await LoggedHooks(Hook(error), log).ask(HOOK, QUESTION)
    assert log.lines == [("warning", event, {"hook": HOOK_ARN, "asked_for": "arn:template", **cause})]
