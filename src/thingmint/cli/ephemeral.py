"""`thingmint serve --ephemeral`: owns the settings of a service for one test run, and its directory."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from thingmint.cli.settings import fail

# The service is ready sooner if it makes few keys before anybody asks; a test seldom wants many at once.
_DEFAULTS: Mapping[str, object] = {"api": "127.0.0.1:0", "mqtt": "127.0.0.1:0", "key_reserve": "8", "key_workers": "1"}


@contextlib.contextmanager
def temporary_flags(flags: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield the flags with a new data directory and test mode; remove the directory afterwards.

    Flags that were given stay, but for the data directory: to give one ends the program.
    """
    if flags.get("data_dir") is not None:
        fail("--ephemeral has a data directory of its own, which is removed at the end: leave --data-dir out")
    directory = Path(tempfile.mkdtemp(prefix="thingmint-"))
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        yield {**flags, **_DEFAULTS, **given, "data_dir": str(directory / "data"), "test_mode": True}
    finally:
        shutil.rmtree(directory, ignore_errors=True)
