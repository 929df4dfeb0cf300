"""Owns temporary files for one reader in this process, because OpenSSL accepts some inputs by a path only.

On Linux they are anonymous files in memory. Elsewhere they are in a folder that only this user can read, and are
removed after they were read.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """Yield a path from which the content can be read in this process until the end of the block."""
    if not hasattr(os, "memfd_create"):
        with _in_private_folder(content) as path:
            yield path
        return
    descriptor = os.memfd_create("thingmint", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _in_private_folder(content: bytes) -> Iterator[str]:
    # mkdtemp makes the folder with mode 0700.
    with tempfile.TemporaryDirectory(prefix="thingmint-") as folder:
        path = Path(folder) / "content"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
        try:
            yield str(path)
        finally:
            # The content is overwritten, because a disk may keep the bytes of a removed file.
            path.write_bytes(bytes(len(content)))
