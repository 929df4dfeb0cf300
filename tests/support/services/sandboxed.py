"""Runs a program within the system calls and memory rules of a systemd unit: UNIT PROGRAM [ARGUMENT…].

systemd itself applies them by the same library and calls (systemd.exec(5)): SystemCallFilter, RestrictAddressFamilies,
MemoryDenyWriteExecute and NoNewPrivileges. Directories and users need systemd as the first process.
"""

import ctypes
import errno
import os
import re
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

_PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE = 38, 65
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_EQUAL = 4


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("left", ctypes.c_uint64),
        ("right", ctypes.c_uint64),
    )


def directives(unit: Path) -> dict[str, list[str]]:
    """Return the values of each directive in the order of the unit."""
    found = defaultdict(list)
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name].append(value)
    return found


def allowed_calls(filters: Sequence[str]) -> set[str]:
    """Return the names of the system calls that the lines allow; groups are those of this machine's systemd."""
    # Every filter allows this group (systemd.exec(5)).
    allowed = set(_expanded("@default"))
    for line in filters:
        names = {name for word in line.removeprefix("~").split() for name in _expanded(word)}
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def _expanded(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    shown = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    names = re.findall(r"^    (@?[a-z0-9_-]+)$", shown.stdout, re.MULTILINE)
    return {each for name in names for each in _expanded(name)}


def enter(unit: Path) -> None:
    """Apply the unit's rules to this process; raise OSError if the kernel refuses one."""
    rules = directives(unit)
    library, kernel = ctypes.CDLL("libseccomp.so.2", use_errno=True), ctypes.CDLL(None, use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    calls = allowed_calls(rules["SystemCallFilter"])
    context = ctypes.c_void_p(library.seccomp_init(_REFUSE))
    for name in sorted(calls - {"socket"}):
        number = library.seccomp_syscall_resolve_name(name.encode())
        # Groups name calls of other architectures, too.
        if number >= 0:
            _require(library.seccomp_rule_add_array(context, _ALLOW, number, 0, None))
    for family in rules["RestrictAddressFamilies"][0].split():
        comparison = _Comparison(0, _EQUAL, int(getattr(socket, family)), 0)
        number = library.seccomp_syscall_resolve_name(b"socket")
        _require(library.seccomp_rule_add_array(context, _ALLOW, number, 1, ctypes.byref(comparison)))
    assert rules["NoNewPrivileges"] == ["yes"]
    _require(kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if rules["MemoryDenyWriteExecute"] == ["yes"]:
        _require(kernel.prctl(_PR_SET_MDWE, 1, 0, 0, 0))
    _require(library.seccomp_load(context))


def _require(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno() or -result, "a rule of the unit could not be applied")


if __name__ == "__main__":
    enter(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
