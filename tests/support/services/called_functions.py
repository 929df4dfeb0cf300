"""Runs the service and writes which functions of it were called: `python called_functions.py FILE COMMAND…`.

Each line of the file is a module and a function in it, such as ``rest/front.py:Front.__call__``. Of the command, what
comes after ``thingmint`` is used.
"""

import sys
import threading
from pathlib import Path
from types import FrameType

import thingmint

SOURCE = str(Path(thingmint.__file__).parent) + "/"
called: set[str] = set()


def note(frame: FrameType, event: str, _argument: object) -> None:
    """Remember a function of the service that is called."""
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(SOURCE):
        called.add(f"{code.co_filename.removeprefix(SOURCE)}:{code.co_qualname}")


def main(file: str, *command: str) -> None:
    """Run the command; write the file when it ends."""
    threading.setprofile(note)
    sys.setprofile(note)
    sys.argv = ["thingmint", *command[command.index("thingmint") + 1 :]]
    from thingmint.cli import main as run  # what is called at import is noted, too

    try:
        run()
    finally:
        sys.setprofile(None)
        Path(file).write_text("\n".join(sorted(called)))


if __name__ == "__main__":
    main(*sys.argv[1:])
