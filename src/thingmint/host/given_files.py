"""Owns the reading of files that an operator names, within a limit: the name may be wrong, or that of a device."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

MOST_BYTES: Final = 1024 * 1024
"""The limit of keys, certificates, passphrases, policies, templates and settings, which are all much smaller."""


def read_given(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a file or a pipe; raise OSError, also if it has more than ``most`` bytes."""
    with path.open("rb") as opened:
        return read_opened(opened, most)


def read_opened(opened: BinaryIO, most: int = MOST_BYTES) -> bytes:
    """Return the content of an open file; raise OSError, also if it has more than ``most`` bytes."""
    content = opened.read(most + 1)
    if len(content) > most:
        raise _too_long("longer", opened, most)
    return content


def read_given_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return the text of a file in UTF-8; raise OSError as `read_given` does, and UnicodeDecodeError."""
    return read_given(path, most).decode("utf-8")


def given_lines(path: Path, most: int = MOST_BYTES) -> Iterator[str]:
    """Yield the lines of a file in UTF-8; raise OSError, also for one of more than ``most`` bytes, UnicodeDecodeError.

    The file can be of any length.
    """
    with path.open("rb") as opened:
        while line := opened.readline(most + 1):
            if len(line) > most:
                raise _too_long("a line is longer", opened, most)
            yield line.decode("utf-8")


def _too_long(what: str, opened: BinaryIO, most: int) -> OSError:
    return OSError(errno.EFBIG, f"{what} than {most:,} bytes", str(opened.name))
