"""Files that an operator names are read within a limit, also devices that never end."""

import errno
import os
import threading
from pathlib import Path

import pytest

from thingmint.host.given_files import read_given, read_given_text


def test_a_file_and_a_pipe_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("grün", encoding="utf-8")
    assert read_given_text(tmp_path / "file") == "grün"
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"passphrase\n",))
    writer.start()
    assert read_given(tmp_path / "pipe") == b"passphrase\n"
    writer.join()


def test_what_is_too_long_is_refused(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    for path in (sparse, Path("/dev/zero")):
        with pytest.raises(OSError, match="longer than 1,048,576 bytes") as refused:
            read_given(path)
        assert (refused.value.errno, refused.value.filename) == (errno.EFBIG, str(path))


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert read_given(tmp_path / "file", 3) == b"abc"
    with pytest.raises(OSError, match="longer than 2 bytes"):
        read_given(tmp_path / "file", 2)
