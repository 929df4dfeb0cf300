"""How callables of operators are called: as handlers of AWS Lambda, with the event alone, or not at all."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.support.registration.provisioning import HOOK_ARN

from thingmint.hooks.handler_signature import HandlerRefused, handler_of, is_coroutine_handler
from thingmint.hooks.lambda_context import LambdaContext

EVENT, CONTEXT = {"clientId": "c"}, LambdaContext(HOOK_ARN, 0.0)


class Instance:
    """Callable, and its methods are."""

    def __call__(self, event: object, context: object) -> object:
        return event, context

    def method(self, event: object, context: object) -> object:
        return event, context

    @classmethod
    def of_class(cls, event: object, context: object) -> object:
        return event, context

    @staticmethod
    def static(event: object, context: object) -> object:
        return event, context


class Later:
    """Callable, and gives something to await."""

    async def __call__(self, event: object, context: object) -> object:
        return event, context


async def later(event: object, context: object) -> object:
    return event, context


def passes_on(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return wrapper


def gives_event(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def wrapper(event: object) -> object:
        return function(event, "made by the wrapper")

    return wrapper


def with_defaults(event: object, context: object = None, *, table: str = "t") -> object:
    return event, context


def with_setting(event: object, table: str = "devices") -> object:
    return event, table


def any_number(*args: object) -> object:
    return args


def three(setting: object, event: object, context: object) -> object:
    return event, context


def generator(event: object, context: object) -> Iterator[object]:
    yield event, context


async def generator_later(event: object) -> AsyncIterator[object]:
    yield event


BOTH = (EVENT, CONTEXT)
CALLED: dict[str, tuple[Callable[..., object], object]] = {
    "both": (lambda event, context: (event, context), BOTH),
    "other names": (lambda e, _: (e, _), BOTH),
    "optional context": (with_defaults, BOTH),
    "optional ctx": (lambda event, ctx=None: (event, ctx), BOTH),
    "event alone": (lambda event: event, EVENT),
    "optional setting": (with_setting, (EVENT, "devices")),
    "any number": (any_number, BOTH),
    "event and any number": (lambda event, *rest: (event, *rest), BOTH),
    "anything": (lambda *args, **kwargs: args, BOTH),
    "instance": (Instance(), BOTH),
    "method": (Instance().method, BOTH),
    "class method": (Instance.of_class, BOTH),
    "static method": (Instance.static, BOTH),
    "partial": (functools.partial(three, "setting"), BOTH),
    "partial of a keyword": (functools.partial(with_setting, table="t"), (EVENT, "t")),
    "wrapped": (passes_on(lambda event, context: (event, context)), BOTH),
    "wrapped, event alone": (passes_on(lambda event: event), EVENT),
    "wrapped twice": (passes_on(passes_on(with_setting)), (EVENT, "devices")),
    "wrapper takes the event": (
        gives_event(lambda event, context=None: (event, context)),
        (EVENT, "made by the wrapper"),
    ),
}
REFUSED: dict[str, tuple[Callable[..., object], str]] = {
    "nothing": (lambda: None, r"its signature is \(\), and a handler is called with \(event, context\)"),
    "three": (three, "its signature is"),
    "keyword alone": (functools.partial(lambda *, event, context: None), "its signature is"),
    "keyword needed": (lambda event, context, *, table: None, "its signature is"),
    "context by keyword": (lambda event, *, context: None, "its signature is"),
    "class": (Instance, "it is a class"),
    "partial of a class": (functools.partial(Instance), "it is a class"),
    "exception": (ValueError, "it is a class"),
    "generator": (generator, "it is a generator"),
    "generator later": (generator_later, "it is a generator"),
    "wrapped, three": (passes_on(three), "its signature is"),
}


@pytest.mark.parametrize(("found", "answer"), CALLED.values(), ids=CALLED.keys())
def test_a_handler_gets_what_it_takes(found: Callable[..., object], answer: object) -> None:
    assert handler_of(found)(EVENT, CONTEXT) == answer
    assert not is_coroutine_handler(found)


@pytest.mark.parametrize("found", [later, Later(), functools.partial(later), passes_on, Later().__call__])
async def test_what_gives_something_to_await_is_known(found: Callable[..., Any]) -> None:
    if found is passes_on:
        assert not is_coroutine_handler(found)
        return
    assert is_coroutine_handler(found)
    answer = handler_of(found)(EVENT, CONTEXT)
    assert isinstance(answer, Awaitable)
    assert await answer == BOTH


@pytest.mark.parametrize(("found", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_called_is_refused_with_its_signature(found: Callable[..., object], reason: str) -> None:
    with pytest.raises(HandlerRefused, match=reason):
        handler_of(found)


def test_a_callable_whose_signature_cannot_be_read_is_refused() -> None:
    with pytest.raises(HandlerRefused, match="cannot be read"):
        handler_of(iter)


@pytest.mark.parametrize(
    ("qualifier", "version"), [("", "$LATEST"), (":prod", "prod"), (":7", "7"), (":$LATEST", "$LATEST")]
)
def test_the_context_tells_which_function_it_is(qualifier: str, version: str) -> None:
    context = LambdaContext(HOOK_ARN + qualifier, 0.0)
    assert (context.invoked_function_arn, context.function_name) == (HOOK_ARN + qualifier, "check")
    assert context.function_version == version
    assert context.log_group_name == "/aws/lambda/check"
    assert context.aws_request_id != LambdaContext(HOOK_ARN, 0.0).aws_request_id
    assert context.log_stream_name == context.aws_request_id
    assert (context.memory_limit_in_mb, context.identity, context.client_context) == ("128", None, None)


def test_the_context_tells_how_long_the_device_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    context = LambdaContext(HOOK_ARN, 105.0)
    assert context.get_remaining_time_in_millis() == 5000
    now = 200.0
    assert context.get_remaining_time_in_millis() == 0
