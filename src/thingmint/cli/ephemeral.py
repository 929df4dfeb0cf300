"""`thingmint serve --ephemeral`: the settings and the directory of a service for one test run."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from thingmint.cli.settings import fail
from thingmint.host.file_locks import AlreadyHeld, folder_held

_PREFIX = "thingmint-ephemeral-"

# With a small reserve of keys, the service is ready sooner; tests rarely need many keys at once.
_DEFAULTS: Mapping[str, object] = {"api": "127.0.0.1:0", "mqtt": "127.0.0.1:0", "key_reserve": "8", "key_workers": "1"}


@contextlib.contextmanager
def temporary_flags(flags: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield the flags with a new data directory and test mode; remove the directory afterwards.

    Given flags are kept. If a data directory is given, the program ends with an error.
    """
    if flags.get("data_dir") is not None:
        fail("--ephemeral has a data directory of its own, which is removed at the end: leave --data-dir out")
    remove_left_behind(Path(tempfile.gettempdir()))
    given = {name: value for name, value in flags.items() if value is not None}
    new = Path(tempfile.mkdtemp(prefix="thingmint-"))
    # The lock belongs to the inode, not to the name, so the directory is locked from the moment it has its final name.
    with folder_held(new):
        directory = new.rename(new.with_name(f"{_PREFIX}{new.name.removeprefix('thingmint-')}"))
        try:
            yield {**flags, **_DEFAULTS, **given, "data_dir": str(directory / "data"), "test_mode": True}
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def remove_left_behind(folder: Path) -> None:
    """Remove the directories of services that were killed; those of running services are locked, and stay.

    Also leaves directories of other users, links, and directories that cannot be read or removed.
    """
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, AlreadyHeld):
            if _is_own_directory(path):
                with folder_held(path):
                    shutil.rmtree(path, ignore_errors=True)


def _is_own_directory(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and hasattr(os, "getuid") and found.st_uid == os.getuid()
