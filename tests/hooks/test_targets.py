"""What the settings may put behind a hook's ARN, and the call of Python callables."""

import asyncio
import sys
import threading
import types
from collections.abc import Iterator, Mapping

import pytest
from tests.support.provisioning import HOOK_ARN

from thingmint.core.hook import HookFailed, HookQuestion
from thingmint.core.identifiers import CertificateId
from thingmint.core.provisioning_template import PreProvisioningHook
from thingmint.hooks import Hooks, HookTarget, HookTargetRefused, hook_targets
from thingmint.hooks.python_callable import MAX_THREADS, python_hook
from thingmint.hooks.webhook import Webhook

QUESTION = HookQuestion(CertificateId("a"), CertificateId("b"), "pem", "arn", "client", {"k": "v"})
ALLOWED = {"allowProvisioning": True}


def allow(question: Mapping[str, object]) -> object:
    return {**ALLOWED, "parameterOverrides": question["parameters"]}


async def allow_later(question: Mapping[str, object]) -> object:
    await asyncio.sleep(0)
    return allow(question)


def fail(question: Mapping[str, object]) -> object:
    raise ValueError(question)


def leave(question: Mapping[str, object]) -> object:
    sys.exit(1)


async def fail_later(question: Mapping[str, object]) -> object:
    raise ValueError(question)


@pytest.fixture
def operators_module() -> Iterator[str]:
    """A module with hooks of an operator."""
    module = types.ModuleType("operators_hooks")
    module.__dict__.update(allow=allow, allow_later=allow_later, nothing=7)
    sys.modules[module.__name__] = module
    yield module.__name__
    del sys.modules[module.__name__]


@pytest.mark.parametrize("name", ["allow", "allow_later"])
async def test_a_python_callable_is_asked(operators_module: str, name: str) -> None:
    hooks = Hooks(hook_targets({HOOK_ARN: f"python:{operators_module}:{name}"}))
    assert await hooks.ask(PreProvisioningHook(HOOK_ARN), QUESTION) == {**ALLOWED, "parameterOverrides": {"k": "v"}}


async def test_an_arn_with_nothing_behind_it_is_a_failure() -> None:
    with pytest.raises(HookFailed, match=f"nothing for {HOOK_ARN}"):
        await Hooks({}).ask(PreProvisioningHook(HOOK_ARN), QUESTION)


@pytest.mark.parametrize("function", [fail, fail_later, leave])
async def test_a_callable_that_raises_is_a_failure_without_its_text(function: HookTarget) -> None:
    with pytest.raises(HookFailed, match=r"^the callable raised (ValueError|SystemExit)$"):
        await python_hook(function)(QUESTION.as_json())


async def test_callables_that_hang_do_not_become_any_number_of_threads() -> None:
    end = threading.Event()

    def hang(question: Mapping[str, object]) -> object:
        end.wait()
        return ALLOWED

    hook = python_hook(hang)
    asked = [asyncio.ensure_future(hook(QUESTION.as_json())) for _ in range(MAX_THREADS)]
    for _ in range(MAX_THREADS):
        await asyncio.sleep(0)
    with pytest.raises(HookFailed, match="have not returned yet"):
        await hook(QUESTION.as_json())
    asked[0].cancel()
    end.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[1:] == [ALLOWED] * (MAX_THREADS - 1)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert await hook(QUESTION.as_json()) == ALLOWED


def test_an_answer_for_a_loop_that_is_closed_goes_nowhere() -> None:
    end, ended = threading.Event(), threading.Event()

    def slow(question: Mapping[str, object]) -> object:
        end.wait()
        ended.set()
        return ALLOWED

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(python_hook(slow)(QUESTION.as_json()), 0.01)

    asyncio.run(give_up())
    end.set()
    assert ended.wait(60)
    for thread in threading.enumerate():
        if thread.name == "hook":
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("text", "webhook"),
    [
        ("https://hooks.example/a/b?c=d", Webhook("hooks.example", 443, "/a/b?c=d", is_tls=True)),
        ("https://hooks.example", Webhook("hooks.example", 443, "/", is_tls=True)),
        ("https://hooks.example:8443/", Webhook("hooks.example", 8443, "/", is_tls=True)),
        ("http://127.0.0.1:9000/x", Webhook("127.0.0.1", 9000, "/x", is_tls=False)),
        ("http://localhost/", Webhook("localhost", 80, "/", is_tls=False)),
        ("http://[::1]:1/", Webhook("::1", 1, "/", is_tls=False)),
    ],
)
def test_a_url_is_read(text: str, webhook: Webhook) -> None:
    target = hook_targets({HOOK_ARN: text})[HOOK_ARN]
    assert getattr(target, "__self__", None) == webhook


@pytest.mark.parametrize(
    ("arn", "text", "reason"),
    [
        ("check", "https://hooks.example/", "not the ARN"),
        (HOOK_ARN, "", "must be https"),
        (HOOK_ARN, "hooks.example", "must be https"),
        (HOOK_ARN, "ftp://hooks.example/", "must be https"),
        (HOOK_ARN, "https:///path", "must be https"),
        (HOOK_ARN, "https://user:secret@hooks.example/", "must be https"),
        (HOOK_ARN, "https://hooks.example/#x", "must be https"),
        (HOOK_ARN, "https://hooks.example:x/", "cannot be read"),
        (HOOK_ARN, "https://[::1/", "cannot be read"),
        (HOOK_ARN, "https://hooks.example/ä", "must be escaped"),
        (HOOK_ARN, "https://hooks.example/a b", "must be escaped"),
        (HOOK_ARN, "https://hooks..example/", "no name of a host"),
        (HOOK_ARN, f"https://{'a' * 64}.example/", "no name of a host"),
        (HOOK_ARN, "https://hooks.example:0/", "port"),
        (HOOK_ARN, "http://hooks.example/", "loopback"),
        (HOOK_ARN, "http://192.0.2.1/", "loopback"),
        (HOOK_ARN, "python:no_such_module:f", "cannot be imported: ModuleNotFoundError"),
        (HOOK_ARN, "python:operators_hooks:missing", "no callable missing"),
        (HOOK_ARN, "python:operators_hooks:nothing", "no callable nothing"),
        (HOOK_ARN, "python:operators_hooks", "must be https"),
    ],
)
@pytest.mark.usefixtures("operators_module")
def test_settings_that_cannot_be_called_are_refused(arn: str, text: str, reason: str) -> None:
    with pytest.raises(HookTargetRefused, match=reason):
        hook_targets({arn: text})
