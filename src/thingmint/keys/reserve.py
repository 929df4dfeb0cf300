"""Owns the key pairs that were generated in advance: their number, their age, and when they must be discarded.

They are in this process's memory only. The reserve is emptied after an event by which a second process could have the
same keys: a fork, a suspension to disk or a copy of the running machine, or another boot than the one in which it was
filled. A copy whose clocks continue without a jump cannot be detected here.
"""

import errno
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from thingmint.issuance.keys.key_pairs import KeyPair

# NIST SP 800-57 part 1 calls the state of a key before its first use "pre-activation"; an hour keeps this state short.
MAX_AGE = 3600.0
# Clocks are slewed by at most 0.05 %. The reserve compares them at least once a second while it is in use.
CLOCK_JUMP = 1.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def read_boot_id() -> str | None:
    """Return the id of this boot; "" if the system has none, None if it cannot be read at this time."""
    # Read without Python's text layer, because it is read for each key pair that is taken.
    try:
        descriptor = os.open(_BOOT_ID, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        # Without a free descriptor the id cannot be read; this is no sign of another boot.
        return None if error.errno in _EXHAUSTED else ""
    try:
        return os.read(descriptor, 64).decode("ascii")
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks that the reserve reads; ``monotonic`` stops while the machine is suspended, ``wall`` does not."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    boot_id: Callable[[], str | None] = read_boot_id


@dataclass(slots=True)
class Reserve:
    """Up to ``size`` key pairs, each handed out once, the oldest first.

    ``on_twin`` is called when the reserve was emptied because another process may have the same keys.
    """

    size: int
    clocks: Clocks
    on_twin: Callable[[], None]
    _entries: deque[tuple[float, KeyPair]] = field(init=False, repr=False, default_factory=deque)
    _clock_gap: float = field(init=False, default=0.0)
    _boot_id: str = field(init=False, default="")
    _owner: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._remember_moment()

    @property
    def level(self) -> int:
        """How many key pairs are in the reserve."""
        return len(self._entries)

    def put(self, key_pair: KeyPair) -> None:
        """Keep a key pair that no caller has received, if it may be kept and there is room; otherwise discard it."""
        if not self.drop_unusable() and self.level < self.size:
            self._entries.append((self.clocks.monotonic(), key_pair))

    def take(self) -> KeyPair | None:
        """Remove and return the oldest usable key pair; None if there is none."""
        if self._entries:
            self.drop_unusable()
        return self._entries.popleft()[1] if self._entries else None

    def clear(self) -> None:
        """Discard every key pair."""
        self._entries.clear()

    def drop_unusable(self) -> bool:
        """Discard key pairs that are too old; discard all, and return True, if another process may have them, too."""
        if self._may_have_a_twin():
            self.clear()
            self._remember_moment()
            self.on_twin()
            return True
        oldest_allowed = self.clocks.monotonic() - MAX_AGE
        while self._entries and self._entries[0][0] < oldest_allowed:
            self._entries.popleft()
        return False

    def _may_have_a_twin(self) -> bool:
        if os.getpid() != self._owner or self.clocks.boot_id() not in (self._boot_id, None):
            return True
        gap = self.clocks.wall() - self.clocks.monotonic()
        jumped = abs(gap - self._clock_gap) > CLOCK_JUMP
        # A slow drift is not a jump, for any length of time.
        self._clock_gap = gap
        return jumped

    def _remember_moment(self) -> None:
        self._clock_gap = self.clocks.wall() - self.clocks.monotonic()
        self._boot_id = self.clocks.boot_id() or ""
        self._owner = os.getpid()
