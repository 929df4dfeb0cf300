"""Owns the command line, whose commands import their modules when they run, so that `--help` and `env` start fast."""

import gc
from collections.abc import Sequence

# A start makes a hundred thousand objects that stay, so a search for garbage finds none: with a threshold of 20,000, it
# took a tenth of the start. The interpreter's threshold is 700.
_NEW_OBJECTS_BEFORE_COLLECTION = 200_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the process's arguments, and end the process with its exit code."""
    gc.set_threshold(_NEW_OBJECTS_BEFORE_COLLECTION)
    from thingmint.cli.commands import main as commands

    try:
        commands(arguments)
    finally:
        # The end of the process frees all objects. The interpreter's last search for garbage skips frozen ones.
        gc.freeze()
