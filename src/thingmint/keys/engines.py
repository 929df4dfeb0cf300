"""Owns the choice of the key engine: OpenSSL, or thingmint-ifma if it is installed and the processor supports it.

A service chooses when it starts, without a computation. Each worker runs the engine's self-test before its first
key. The first fault disables the engine until the service is restarted.
"""

import importlib
import logging
import subprocess
import sys
from dataclasses import dataclass
from typing import Protocol

from thingmint.core.error_text import in_words
from thingmint.keys.generators import PACKAGE, Engine

_log = logging.getLogger(__name__)
_SELF_TEST_WITHIN = 60.0
_AUTO = "auto"


class EngineUnavailable(Exception):
    """The engine in the settings cannot be used on this machine; the message says why."""


class EngineObserver(Protocol):
    """Is notified of the engine in use and of its faults. The methods must not raise or block."""

    def key_engine(self, engine: str) -> None:
        """Record the engine that new workers use."""
        ...

    def key_engine_failed(self) -> None:
        """Count a fault of the engine."""
        ...


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine to use, and the reason if it is not the fast one; the reason is empty otherwise."""

    engine: Engine
    reason: str = ""


def choose_engine(setting: str) -> EngineChoice:
    """Return the engine for a value of the setting ``key_engine``: openssl, ifma or auto.

    Raises EngineUnavailable if the value is ``ifma`` and it cannot be used here. With ``auto``, OpenSSL is used then.
    """
    if setting == Engine.OPENSSL:
        return EngineChoice(Engine.OPENSSL, "key_engine is openssl")
    reason = _why_not_ifma()
    if not reason:
        return EngineChoice(Engine.IFMA)
    if setting == _AUTO:
        return EngineChoice(Engine.OPENSSL, reason)
    raise EngineUnavailable(f"key_engine is ifma, but {reason}")


def run_self_test() -> tuple[bool, str]:
    """Run the self-test of thingmint-ifma in a separate process, because it may crash.

    Return whether it passed, and the library's version or the fault.
    """
    command = [sys.executable, "-P", "-m", PACKAGE]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SELF_TEST_WITHIN, check=False)  # noqa: S603 - no shell; the command is ours
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"the self-test cannot be run ({type(error).__name__})"
    if ended.returncode < 0:
        return False, f"the self-test crashed with signal {-ended.returncode}"
    printed = ended.stdout.strip()
    return ended.returncode == 0, printed or f"the self-test ended with {ended.returncode}"


class EngineInUse:
    """The engine that workers are started with: the chosen one, or OpenSSL after its first fault."""

    def __init__(self, engine: Engine, observer: EngineObserver) -> None:
        self._engine = engine
        self._observer = observer

    @property
    def engine(self) -> Engine:
        """The engine for the next worker."""
        return self._engine

    def begin(self) -> None:
        """Notify the observer of the engine in use."""
        self._observer.key_engine(self._engine)

    def disable(self, engine: Engine, reason: str) -> bool:
        """Use OpenSSL from now on because of a fault; return False if the engine is already disabled, or is OpenSSL."""
        if engine is Engine.OPENSSL or self._engine is Engine.OPENSSL:
            return False
        self._engine = Engine.OPENSSL
        _log.error(
            "key engine %s is disabled (%s); OpenSSL makes the keys until the service is started again", engine, reason
        )
        self._observer.key_engine_failed()
        self._observer.key_engine(self._engine)
        return True


def _why_not_ifma() -> str:
    """Return why thingmint-ifma cannot be used here; an empty text if it can."""
    try:
        package = importlib.import_module(PACKAGE)
    except ModuleNotFoundError:
        return "thingmint-ifma is not installed"
    except ImportError as error:
        return f"thingmint-ifma cannot be loaded: {in_words(error)}"
    return "" if package.is_applicable() else "this processor has no AVX512-IFMA"
