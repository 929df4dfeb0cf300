"""Owns the forms of settings that can be tables in the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from thingmint.settings.forms import HIDDEN, Choice, ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Quota:
    """One of a few words, or in the file a table of requests per second by operation."""

    choices: tuple[str, ...]
    toml: object = str | dict[str, float]

    @property
    def metavar(self) -> str:
        """The words."""
        return "|".join(self.choices)

    def parse(self, name: str, value: object) -> Mapping[str, float] | str:
        """Return the word, or the table."""
        if not isinstance(value, dict):
            return Choice(self.choices).parse(name, value)
        for operation, rate in value.items():
            if not 0 < rate < float("inf"):
                raise ConfigError(f"{name}.{operation} must be a positive number, not {rate}")
        return value

    def shown(self, value: object) -> object:
        """Return the word, or the table."""
        return value


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """A table of the file; with ``hides``, its values are not shown, because they may hold secrets or are long."""

    of: type[T]
    hides: bool = False
    metavar: str = ""

    @property
    def toml(self) -> object:
        """A table of these values."""
        return dict[str, self.of]  # type: ignore[name-defined]  # a type that is made when the program runs

    def parse(self, name: str, value: object) -> Mapping[str, T]:
        """Return the table."""
        del name
        return dict(value)  # type: ignore[call-overload, no-any-return]  # its types were compared with `toml`

    def shown(self, value: object) -> object:
        """Return the table, or only its keys if the values are hidden."""
        table = dict(value)  # type: ignore[call-overload]  # the table that `parse` returned
        return dict.fromkeys(table, HIDDEN) if self.hides else table
