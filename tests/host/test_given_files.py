"""Files that an operator names are read within a limit, also devices that never end."""

import errno
import os
import threading
from pathlib import Path

import pytest

from thingmint.host.given_files import given_lines, read_given, read_given_text


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


def test_a_file_of_any_length_is_read_by_lines_that_have_a_limit(tmp_path: Path) -> None:
    lines = ["ä" * 300_000 + "\n", "b\n", "c"]
    (tmp_path / "lines").write_text("".join(lines), encoding="utf-8")
    assert list(given_lines(tmp_path / "lines")) == lines
    for path in (Path("/dev/zero"), tmp_path / "lines"):
        with pytest.raises(OSError, match="a line is longer than 1,000 bytes"):
            list(given_lines(path, 1000))
    (tmp_path / "binary").write_bytes(b"\xff\n")
    with pytest.raises(UnicodeDecodeError):
        list(given_lines(tmp_path / "binary"))
