"""Owns the arguments of an operator's Python callable: event and context, as at AWS Lambda, or the event alone.

The callable's signature decides this when the service starts. If a handler that cannot be called were found only later,
it would refuse every device, and the fault would seem to be the device's.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TypeAlias

from thingmint.hooks.lambda_context import LambdaContext

Handler: TypeAlias = Callable[[Mapping[str, object], LambdaContext], object]
"""Takes the question and the context; returns the answer, or an awaitable of it."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_CONTEXT_NAMES = ("context", "ctx")
_EXPECTED = "a handler is called with (event, context), as by AWS Lambda, or with (event)"


class HandlerRefused(ValueError):
    """The callable cannot be called as a handler; the message says why."""


def handler_of(found: Callable[..., object]) -> Handler:
    """Return the callable as a handler that takes event and context; raise HandlerRefused if it can take neither.

    It gets the context if its second argument is required, if it takes any number of arguments, or if the name of its
    optional second argument means a context.
    """
    function = _function(found)
    if inspect.isclass(function):
        raise HandlerRefused("it is a class: name a function, or an instance that can be called")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerRefused("it is a generator, which gives no answer")
    outer, inner = _signature(found, is_inner=False), _signature(found, is_inner=True)
    takes_both = _takes(outer, 2) and _takes(inner, 2)
    takes_one = _takes(outer, 1) and _takes(inner, 1)
    if takes_both and (not takes_one or _wants_context(inner)):
        return found
    if takes_one:
        return lambda event, context: found(event)
    raise HandlerRefused(f"its signature is {inner}, and {_EXPECTED}")


def _function(found: Callable[..., object]) -> Callable[..., object]:
    """Return the function that a call runs: that of a partial, or ``__call__`` of an instance."""
    while isinstance(found, functools.partial):
        found = found.func
    if inspect.isclass(found) or inspect.isroutine(found):
        return found
    # A call looks up ``__call__`` on the class, too.
    call: Callable[..., object] = type(found).__call__
    return call


def is_coroutine_handler(found: Callable[..., object]) -> bool:
    """Return whether the callable is a coroutine function, so that a call does not block the event loop."""
    return inspect.iscoroutinefunction(_function(found))


def _signature(found: Callable[..., object], *, is_inner: bool) -> inspect.Signature:
    # The signature of a decorator that passes on all arguments says nothing; that of the wrapped function does. Both
    # must accept the arguments.
    try:
        return inspect.signature(found, follow_wrapped=is_inner)
    except (TypeError, ValueError) as error:
        raise HandlerRefused(f"its signature cannot be read, and {_EXPECTED}") from error


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _wants_context(signature: inspect.Signature) -> bool:
    parameters = list(signature.parameters.values())
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return True
    positional = [parameter.name.lower() for parameter in parameters if parameter.kind in _POSITIONAL]
    return any(word in name for name in positional[1:2] for word in _CONTEXT_NAMES)
