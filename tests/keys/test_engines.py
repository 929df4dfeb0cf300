"""Which engine is chosen, and why."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.keys.test_key_pool import Observer
from tests.support.certificates.ifma import package_replaced, require_ifma

from thingmint.keys.engines import EngineChoice, EngineInUse, EngineUnavailable, choose_engine, run_self_test
from thingmint.keys.generators import Engine, generators

Write = Callable[[str], None]


@pytest.fixture
def write_package(tmp_path: Path) -> Iterator[Write]:
    """Return a function that writes what is imported in the place of thingmint-ifma."""
    with package_replaced(tmp_path) as write:
        yield write


NO_AVX512_IFMA = "def is_applicable(): return False"


def test_openssl_is_chosen_without_a_look_at_the_package(write_package: Write) -> None:
    write_package("raise AssertionError")
    assert choose_engine("openssl") == EngineChoice(Engine.OPENSSL, "key_engine is openssl")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ModuleNotFoundError", "thingmint-ifma is not installed"),
        ("raise ImportError('undefined symbol')", "thingmint-ifma cannot be loaded: undefined symbol"),
        (NO_AVX512_IFMA, "this processor has no AVX512-IFMA"),
    ],
)
def test_auto_falls_back_and_ifma_is_refused_with_the_reason(write_package: Write, text: str, reason: str) -> None:
    write_package(text)
    assert choose_engine("auto") == EngineChoice(Engine.OPENSSL, reason)
    with pytest.raises(EngineUnavailable, match=f"key_engine is ifma, but {reason}"):
        choose_engine("ifma")


@pytest.mark.parametrize("setting", ["auto", "ifma"])
def test_engine_that_can_be_used_is_chosen(write_package: Write, setting: str) -> None:
    write_package("def is_applicable(): return True")
    assert choose_engine(setting) == EngineChoice(Engine.IFMA)


def test_installed_engine_is_chosen_where_the_processor_can_run_it() -> None:
    require_ifma()
    assert choose_engine("auto") == EngineChoice(Engine.IFMA)
    passed, said = run_self_test()
    assert passed
    assert "crypto_mb" in said


def test_self_test_that_cannot_be_run_has_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert run_self_test() == (False, "the self-test cannot be run (FileNotFoundError)")


def test_engine_is_disabled_once_and_openssl_never() -> None:
    observer = Observer()
    in_use = EngineInUse(Engine.IFMA, observer)
    in_use.begin()
    assert not in_use.disable(Engine.OPENSSL, "a worker of OpenSSL's has crashed")
    assert (in_use.engine, observer.engine, observer.faults) == (Engine.IFMA, "ifma", 0)
    assert in_use.disable(Engine.IFMA, "a worker has crashed")
    assert not in_use.disable(Engine.IFMA, "another worker has crashed")
    assert (in_use.engine, observer.engine, observer.faults) == (Engine.OPENSSL, "openssl", 1)


def test_each_channel_has_a_search_of_its_own() -> None:
    require_ifma()
    idle, demand = generators(Engine.IFMA, 2)
    assert idle is not demand
    assert idle().public_key_der != demand().public_key_der


def test_worker_with_openssl_does_not_load_the_package() -> None:
    program = (
        "import sys; from thingmint.keys.worker import generators; from thingmint.keys.generators import Engine; "
        "generators(Engine.OPENSSL, 2)[0](); assert 'thingmint_ifma' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
