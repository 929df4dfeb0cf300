"""What the settings may put behind a hook's ARN, and the call of Python callables."""

import asyncio
import inspect
import queue
import sys
import threading
import types
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.registration.provisioning import HOOK_ARN

from thingmint.core.hooks import HookBusy, HookFailed
from thingmint.core.identifiers import AccountId, CertificateId
from thingmint.core.provisioning.hook import HookQuestion
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.hooks import Hooks, HookTargetRefused, hook_targets, python_callable
from thingmint.hooks.python_callable import MAX_THREADS, python_hook
from thingmint.hooks.webhook import Webhook

ACCOUNT, OTHER = AccountId("123456789012"), AccountId("222222222222")


def question_of(account: AccountId) -> HookQuestion:
    """Return what a device of the account's template asks."""
    template = f"arn:aws:iot:eu-west-1:{account}:provisioningtemplate/fleet"
    return HookQuestion(CertificateId("a"), CertificateId("b"), "pem", template, "client", {"Serial": "secret-17"})


QUESTION = question_of(ACCOUNT)
ALLOWED = {"allowProvisioning": True}


def allow(question: Mapping[str, object]) -> object:
    return {**ALLOWED, "parameterOverrides": question["parameters"]}


async def allow_later(question: Mapping[str, object]) -> object:
    await asyncio.sleep(0)
    return allow(question)


def fail(question: Mapping[str, object]) -> object:
    raise ValueError(question["parameters"]["Serial"])  # type: ignore[index] # the question's form


def leave(question: Mapping[str, object]) -> object:
    sys.exit(1)


async def fail_later(question: Mapping[str, object]) -> object:
    raise ValueError(question["parameters"]["Serial"])  # type: ignore[index] # the question's form


async def leave_later(question: Mapping[str, object]) -> object:
    sys.exit(1)


@pytest.fixture
def operators_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with hooks of an operator."""
    module = types.ModuleType("operators_hooks")
    module.__dict__.update(
        allow=allow,
        allow_later=allow_later,
        nothing=7,
        none=lambda _: None,
        no_arguments=lambda: ALLOWED,
        Decision=type("Decision", (), {}),
    )
    sys.modules[module.__name__] = module
    (tmp_path / "leaving_hooks.py").write_text("raise SystemExit('no table')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield module.__name__
    del sys.modules[module.__name__]


@pytest.mark.parametrize("name", ["allow", "allow_later"])
async def test_a_python_callable_is_asked(operators_module: str, name: str) -> None:
    hooks = Hooks(hook_targets({HOOK_ARN: f"python:{operators_module}:{name}"}), OTHER)
    assert await hooks.ask(PreProvisioningHook(HOOK_ARN), QUESTION) == {
        **ALLOWED,
        "parameterOverrides": {"Serial": "secret-17"},
    }


async def test_an_arn_with_nothing_behind_it_is_a_failure() -> None:
    with pytest.raises(HookFailed, match=f"nothing for {HOOK_ARN}"):
        await Hooks({}, ACCOUNT).ask(PreProvisioningHook(HOOK_ARN), QUESTION)


async def test_a_function_serves_its_own_account_and_the_services(operators_module: str) -> None:
    hooks = Hooks(hook_targets({HOOK_ARN: f"python:{operators_module}:allow"}), AccountId("000000000000"))
    hook = PreProvisioningHook(HOOK_ARN)
    for account in (ACCOUNT, AccountId("000000000000")):
        assert await hooks.ask(hook, question_of(account))
    with pytest.raises(HookFailed, match=f"account {OTHER} asks for a function of another account"):
        await hooks.ask(hook, question_of(OTHER))


async def test_a_function_of_every_account_serves_each_of_them(operators_module: str) -> None:
    of_any = HOOK_ARN.replace(ACCOUNT, "*")
    targets = hook_targets({of_any: f"python:{operators_module}:allow", HOOK_ARN: f"python:{operators_module}:none"})
    hooks = Hooks(targets, AccountId("000000000000"))
    assert await hooks.ask(PreProvisioningHook(HOOK_ARN.replace(ACCOUNT, OTHER)), question_of(OTHER))
    # The account's own entry comes before it, and another account's function is not asked by its way either.
    assert await hooks.ask(PreProvisioningHook(HOOK_ARN), question_of(ACCOUNT)) is None
    with pytest.raises(HookFailed, match="of another account"):
        await hooks.ask(PreProvisioningHook(HOOK_ARN.replace(ACCOUNT, OTHER)), question_of(ACCOUNT))


@pytest.mark.parametrize("function", [fail, fail_later, leave, leave_later])
async def test_a_callable_that_raises_is_a_failure_with_its_type_message_and_place(
    function: types.FunctionType,
) -> None:
    with pytest.raises(HookFailed) as failed:
        await python_hook(function, HOOK_ARN)(QUESTION.as_json())
    line = function.__code__.co_firstlineno + 1
    raised = "SystemExit: 1" if function.__name__.startswith("leave") else "ValueError: <Serial>"
    assert str(failed.value) == f"the callable raised {raised} ({__file__}, line {line})"


async def test_a_hook_whose_own_task_is_cancelled_is_a_failure_and_one_that_is_cancelled_ends() -> None:
    async def cancelled_inside(question: Mapping[str, object]) -> object:
        raise asyncio.CancelledError

    async def endless(question: Mapping[str, object]) -> object:
        return await asyncio.get_running_loop().create_future()

    with pytest.raises(HookFailed, match="CancelledError"):
        await python_hook(cancelled_inside, HOOK_ARN)(QUESTION.as_json())
    asked = asyncio.ensure_future(python_hook(endless, HOOK_ARN)(QUESTION.as_json()))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_a_plain_callable_may_return_what_is_to_be_awaited() -> None:
    def returns_coroutine(question: Mapping[str, object]) -> object:
        return allow_later(question)

    assert await python_hook(returns_coroutine, HOOK_ARN)(QUESTION.as_json()) == {
        **ALLOWED,
        "parameterOverrides": {"Serial": "secret-17"},
    }


async def test_a_handler_that_changes_its_event_hides_no_value_from_the_log() -> None:
    def changes(event: dict[str, object]) -> object:
        serial = event.pop("parameters")["Serial"]  # type: ignore[index] # the event's form is the question's
        raise ValueError(serial)

    question = QUESTION.as_json()
    with pytest.raises(HookFailed, match="ValueError: <Serial>"):
        await python_hook(changes, HOOK_ARN)(question)
    assert question == QUESTION.as_json()


async def test_callers_wait_in_their_order_for_threads_and_those_that_hang_do_not_become_any_number() -> None:
    end, order = threading.Event(), queue.SimpleQueue[object]()

    def hang(question: Mapping[str, object]) -> object:
        order.put(question["clientId"])
        end.wait()
        return ALLOWED

    hook = python_hook(hang, HOOK_ARN)
    asked = [
        asyncio.ensure_future(hook({**QUESTION.as_json(), "clientId": number})) for number in range(MAX_THREADS + 3)
    ]
    started = [await asyncio.to_thread(order.get) for _ in range(MAX_THREADS)]
    assert sorted(started) == list(range(MAX_THREADS))  # type: ignore[type-var] # they are numbers
    assert order.empty()
    assert not any(each.done() for each in asked)
    asked[0].cancel()
    asked[MAX_THREADS].cancel()
    end.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in answers].count(True) == 2
    assert answers.count(ALLOWED) == MAX_THREADS + 1
    # The place of a caller that went is free only when its thread has ended.
    assert await asyncio.gather(*(hook(QUESTION.as_json()) for _ in range(MAX_THREADS))) == [ALLOWED] * MAX_THREADS


async def test_a_caller_that_gets_no_thread_in_time_is_told_that_the_hook_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = threading.Event()

    def hang(question: Mapping[str, object]) -> object:
        end.wait()
        return ALLOWED

    hook = python_hook(hang, HOOK_ARN)
    asked = [asyncio.ensure_future(hook(QUESTION.as_json())) for _ in range(MAX_THREADS)]
    await asyncio.sleep(0)
    monkeypatch.setattr(python_callable, "_WAITS_FOR", 0.01)
    with pytest.raises(HookBusy, match="have not returned"):
        await hook(QUESTION.as_json())
    end.set()
    assert await asyncio.gather(*asked) == [ALLOWED] * MAX_THREADS


async def test_what_nobody_awaits_any_more_is_closed() -> None:
    end = threading.Event()

    async def answer() -> object:
        raise AssertionError("nobody waits for it")

    made: list[Coroutine[object, object, object]] = []

    def slow(question: Mapping[str, object]) -> object:
        end.wait()
        made.append(answer())
        return made[0]

    hook = python_hook(slow, HOOK_ARN)
    asked = asyncio.ensure_future(hook(QUESTION.as_json()))
    await asyncio.sleep(0)
    asked.cancel()
    end.set()
    while not made or inspect.getcoroutinestate(made[0]) != inspect.CORO_CLOSED:  # noqa: ASYNC110  no event
        await asyncio.sleep(0.01)


async def test_a_system_without_threads_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    hook = python_hook(allow, HOOK_ARN)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(MAX_THREADS + 1):
            with pytest.raises(HookBusy, match="no more threads"):
                await hook(QUESTION.as_json())
    assert await hook(QUESTION.as_json()) is not None


def test_an_answer_for_a_loop_that_is_closed_goes_nowhere() -> None:
    end, ended = threading.Event(), threading.Event()

    def slow(question: Mapping[str, object]) -> object:
        end.wait()
        ended.set()
        return ALLOWED

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(python_hook(slow, HOOK_ARN)(QUESTION.as_json()), 0.01)

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
        (HOOK_ARN, "python:operators_hooks:no_arguments", r"no_arguments cannot be called: its signature is \(\)"),
        (HOOK_ARN, "python:operators_hooks:Decision", "Decision cannot be called: it is a class"),
        (HOOK_ARN, "python:leaving_hooks:allow", "leaving_hooks cannot be imported: SystemExit: no table"),
        (HOOK_ARN, "python:operators_hooks", "must be https"),
    ],
)
@pytest.mark.usefixtures("operators_module")
def test_settings_that_cannot_be_called_are_refused(arn: str, text: str, reason: str) -> None:
    with pytest.raises(HookTargetRefused, match=reason):
        hook_targets({arn: text})
