"""Owns the command line, whose commands import their modules when they run, so that `--help` and `env` start fast."""

import gc
import sys
from collections.abc import Sequence

# A start makes a hundred thousand objects that stay, so a search for garbage finds none: with a threshold of 20,000, it
# took a tenth of the start. The interpreter's threshold is 700.
_NEW_OBJECTS_BEFORE_COLLECTION = 200_000
# The exit code of a program that SIGINT has ended, as shells write it.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the process's arguments, and end the process with its exit code."""
    gc.set_threshold(_NEW_OBJECTS_BEFORE_COLLECTION)
    try:
        from thingmint.cli.commands import main as commands
        from thingmint.cli.settings import fail
        from thingmint.core.error_text import in_words
        from thingmint.host.standard_streams import OutputLost, prepare_standard_streams
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    prepare_standard_streams()
    try:
        commands(arguments)
    except OutputLost as error:
        fail(in_words(error))
    finally:
        # The end of the process frees all objects. The interpreter's last search for garbage skips frozen ones.
        gc.freeze()
