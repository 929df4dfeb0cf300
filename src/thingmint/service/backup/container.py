"""Owns the file format of a backup: a sequence of named members. Does not interpret their contents.

The file is a tar archive in the POSIX ustar format (POSIX.1-2017, pax, "ustar Interchange Format"), so that any tar can
show and unpack it. There is one valid encoding: mode 0600, no owner, no time, padding with zeros, two blocks of zeros
at the end. The reader accepts only this encoding, so every byte of the file is checked.
"""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512
MAX_MEMBER_BYTES = 64 << 20
_ZEROS = bytes(BLOCK)


class BackupDamaged(Exception):
    """The file is incomplete, altered, or no backup; the message says where and why."""


class Member(NamedTuple):
    """A member of the file."""

    name: str
    content: bytes


def write_member(file: BinaryIO, member: Member) -> None:
    """Append a member; raise OSError if it cannot be written."""
    if len(member.content) > MAX_MEMBER_BYTES:
        raise ValueError(f"{member.name} has more than {MAX_MEMBER_BYTES} bytes")
    file.write(_head(member.name, len(member.content)))
    file.write(member.content)
    file.write(bytes(-len(member.content) % BLOCK))


def write_end(file: BinaryIO) -> None:
    """Write the two blocks of zeros that end the file."""
    file.write(_ZEROS * 2)


def members(file: BinaryIO) -> Iterator[Member]:
    """Yield the members from the current position of the file on; raise BackupDamaged if the format is violated."""
    last = "its begin"
    while (block := file.read(BLOCK)) != _ZEROS:
        name, size = _read_head(block, last)
        content = file.read(size)
        padding = file.read(-size % BLOCK)
        if len(content) < size or len(padding) < -size % BLOCK:
            raise BackupDamaged(f"the file ends inside of {name}")
        if any(padding):
            raise BackupDamaged(f"the bytes behind {name} were changed")
        yield Member(name, content)
        last = name
    if file.read(2 * BLOCK) != _ZEROS:
        raise BackupDamaged("the file does not end as a backup does")


def _read_head(block: bytes, last: str) -> tuple[str, int]:
    """Return the name and size in a member's header block."""
    if len(block) < BLOCK:
        raise BackupDamaged(f"the file ends behind {last}: it was cut off, or is not a backup")
    try:
        head = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        is_ours = 0 <= head.size <= MAX_MEMBER_BYTES and _head(head.name, head.size) == block
    except (tarfile.HeaderError, ValueError):
        is_ours = False
    if not is_ours:
        raise BackupDamaged(f"what stands behind {last} is not the head of a backup's member: it was changed")
    return head.name, head.size


def _head(name: str, size: int) -> bytes:
    head = tarfile.TarInfo(name)
    head.size, head.mode = size, 0o600
    return head.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
