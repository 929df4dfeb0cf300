"""Owns the reading of `thingmint.toml`: its names, and the TOML types of their values. Does not check values."""

import difflib
import errno
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from thingmint.core.error_text import reason_of
from thingmint.settings.forms import ConfigError
from thingmint.settings.setting import Places
from thingmint.settings.table import BY_NAME, SETTINGS

FILE_NAME = "thingmint.toml"
_MOST_BYTES = 1024 * 1024
_MISFIT = re.compile(r"Expected `(?P<wanted>.+)`, got `(?P<given>.+)` - at `\$\.?(?P<place>.*)`")
_KINDS: Mapping[str, str] = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
}
_FILE_SETTINGS = msgspec.defstruct(
    "FileSettings",
    [
        (setting.name, setting.form.toml | None, None)  # type: ignore[operator]  # types, of which unions are made
        for setting in SETTINGS
        if Places.FILE in setting.places
    ],
)


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8; raise OSError, also for a file of more than 1 MiB, and UnicodeDecodeError.

    It is as `host.given_files` does it; this package is below everything that knows the machine.
    """
    with path.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"longer than {_MOST_BYTES:,} bytes", str(path))
    return content.decode("utf-8")


def read_file(path: Path) -> Mapping[str, object]:
    """Return the settings of a file by name, none if it does not exist.

    Raises ConfigError if it cannot be read, holds an unknown name, or a value is not of its setting's TOML type.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {reason_of(error)}") from error
    try:
        found = tomllib.loads(text)
        for name in found:
            _require_known(path, name)
        values = msgspec.convert(found, _FILE_SETTINGS)
    except RecursionError as error:
        raise ConfigError(f"{path}: values are nested too deeply") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {_misfit(error)}") from error
    return {name: getattr(values, name) for name in found}


def nearest(name: str, known: list[str]) -> str:
    """Return a question with the most similar known name, or an empty text if none is similar."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _require_known(path: Path, name: str) -> None:
    setting = BY_NAME.get(name)
    if setting is None:
        known = [each.name for each in SETTINGS if Places.FILE in each.places]
        raise ConfigError(f"{path}: {name} is no setting{nearest(name, known)}")
    if Places.FILE not in setting.places:
        raise ConfigError(f"{path}: {name} cannot be set in this file: give {setting.variable} in the environment")


def _misfit(error: BaseException) -> str:
    """Return what is wrong in a settings file, in TOML's terms, from the message of the decoder."""
    said = reason_of(error)
    if not (found := _MISFIT.fullmatch(said)):
        return said
    wanted = " or ".join(_KINDS.get(kind, kind) for kind in found["wanted"].split(" | ") if kind != "null")
    place, of_all, _ = found["place"].partition("[...]")
    return (
        f"{'a value in ' if of_all else ''}{place} must be {wanted}, not {_KINDS.get(found['given'], found['given'])}"
    )
