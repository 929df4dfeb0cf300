"""Owns the names of a device's files: the pattern, its placeholders, and the check of the result."""

import re
import string

from thingmint.cli.devices.device import ListRefused

FIELDS = ("thing", "serial", "line", "batch", "station")
_UNIQUE = {"thing", "serial", "line"}
# A valid path component on every system, and no hidden file. Thing names may hold a colon.
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:=+,@-]{0,199}")
_OWN = frozenset({"job", "journal", "manifest", "errors", "issuers", "work"})


def check_pattern(pattern: str) -> None:
    """Raise ListRefused unless the pattern results in a different name inside the folder for each device."""
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ListRefused(f"the name {pattern!r} has a brace that does not fit") from error
    fields = {field for _, field, _, _ in parts if field is not None}
    if unknown := fields - set(FIELDS):
        raise ListRefused(f"the name {pattern!r} has {{{min(unknown)}}}; there are {', '.join(FIELDS)}")
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise ListRefused(f"the name {pattern!r} has a format or a conversion, which fields do not take here")
    if not fields & _UNIQUE:
        raise ListRefused(f"the name {pattern!r} has neither {{thing}} nor {{serial}}: all files would have one name")


def file_stem(pattern: str, values: dict[str, str]) -> str:
    """Return the name without endings; raise ValueError if it is not safe on every system."""
    stem = pattern.format_map({name: values.get(name, "") for name in FIELDS})
    if not _SAFE.fullmatch(stem) or stem.endswith(".") or stem.casefold() in _OWN:
        raise ValueError(
            f"the file name {stem!r} is refused: it has 1 to 200 letters, digits and any of _.:=+,@- and begins with a "
            "letter, a digit or _"
        )
    return stem
