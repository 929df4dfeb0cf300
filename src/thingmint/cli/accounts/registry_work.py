"""Owns the opening of a registry beside its service for one command, and the message when that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.service.opening import Registry, registry_beside_service
from thingmint.settings.config import Config, StartRefused

T = TypeVar("T")


def with_registry(config: Config, work: Callable[[Registry], Awaitable[T]]) -> T:
    """Open the registry, do the work on it and return its result; end the command with a message if either fails."""

    async def run() -> T:
        async with registry_beside_service(config) as registry:
            return await work(registry)

    try:
        return asyncio.run(run())
    except (StartRefused, ThingmintError, OSError) as error:
        fail(in_words(error))
