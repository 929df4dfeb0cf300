"""Owns the key pairs of a node or command: the choice of their engine, their worker processes, and its examination."""

import contextlib
import os
from collections.abc import AsyncIterator

from thingmint import __version__
from thingmint.core.error_text import in_words
from thingmint.host.service_log import service_log
from thingmint.host.telemetry import Metrics
from thingmint.keys.engines import EngineUnavailable, choose_engine, run_self_test
from thingmint.keys.generators import Engine
from thingmint.keys.in_process import InProcessKeys
from thingmint.keys.pool import KeyPool
from thingmint.service.findings import Finding, Verdict
from thingmint.settings.config import Config, StartRefused


@contextlib.asynccontextmanager
async def key_pool_of(config: Config, *, reserve: int, metrics: Metrics | None = None) -> AsyncIterator[KeyPool]:
    """Yield a source of key pairs with started workers; raise StartRefused if the chosen engine is not available."""
    try:
        choice = choose_engine(config.key_engine)
    except EngineUnavailable as error:
        raise StartRefused(in_words(error)) from error
    if config.key_engine != Engine.OPENSSL:
        # Without the setting, nothing is logged.
        service_log.info("key engine", engine=choice.engine.value, reason=choice.reason)
    pool = KeyPool(
        reserve,
        config.key_workers,
        config.max_waiting_for_keys,
        metrics or Metrics(__version__),
        engine=choice.engine,
    )
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


@contextlib.asynccontextmanager
async def keys_of_command(config: Config) -> AsyncIterator[KeyPool | InProcessKeys]:
    """Yield a source of key pairs for a command; it uses workers if the system can start them on demand."""
    if not hasattr(os, "fork"):
        yield InProcessKeys()
        return
    async with key_pool_of(config, reserve=0) as pool:
        yield pool


def key_engine_finding(setting: str) -> Finding:
    """Examine the engine that the next start chooses; `thingmint_key_engine` is the metric of a running service."""
    try:
        choice = choose_engine(setting)
    except EngineUnavailable as error:
        return Finding(Verdict.WRONG, in_words(error))
    if choice.engine is Engine.OPENSSL:
        return Finding(Verdict.OK, f"keys are made by OpenSSL: {choice.reason}")
    passed, said = run_self_test()
    if not passed:
        return Finding(Verdict.WARNING, f"keys are made by OpenSSL: {said}")
    return Finding(Verdict.OK, f"keys are made by the engine ifma, whose self-test passed: {said}")
