"""Owns the files of the log's commands: the folder of an export, and archives of entries."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from thingmint.host.given_files import given_lines
from thingmint.registration.log.exported import LineUnreadable


class ExportFolder:
    """Implements `registration.log.exporting.ExportTarget` on a folder that it creates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def empty(self) -> None:
        """Remove the files that this export has written so far, and create the folder."""
        if self._folder.exists():
            shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True, mode=0o700)

    def write(self, path: str, content: bytes) -> None:
        """Write a file and the folders above it."""
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def add(self, path: str, line: str) -> None:
        """Add a line to a file."""
        with (self._folder / path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def lines_of_archives(archives: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of the files; the caller gives the files in the order of their leaves.

    Raises LineUnreadable for a file that is not text, or OSError.
    """
    for path in archives:
        try:
            yield from given_lines(path)
        except UnicodeDecodeError as error:
            raise LineUnreadable(f"{path} is not UTF-8") from error
