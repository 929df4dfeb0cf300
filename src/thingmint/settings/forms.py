"""Owns the interface of settings' forms, and the forms of words and numbers.

A form parses a value from a flag, a variable or the file, and shows it. It is independent of the settings: callers pass
a setting's name for messages. Values of flags and variables are text, those of the file have the types of TOML.
"""

import re
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
HIDDEN = "(hidden)"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
# Python does not convert texts of more than 4,300 digits.
_WHOLE = re.compile(r"[0-9]{1,20}")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


class ConfigError(Exception):
    """A setting cannot be used; the message names it and says why."""


class Form(Protocol[T_co]):
    """The format of a setting's values."""

    @property
    def toml(self) -> object:
        """The type of the value in ``thingmint.toml``."""
        ...

    @property
    def metavar(self) -> str:
        """The placeholder of the value in the help of a command."""
        ...

    def parse(self, name: str, value: object) -> T_co:
        """Return the value; raise ConfigError, which names the setting, if it cannot be used."""
        ...

    def shown(self, value: object) -> object:
        """Return a parsed value for JSON, without secrets."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """Text that matches a pattern."""

    pattern: re.Pattern[str]
    words: str
    metavar: str = "TEXT"
    toml: object = str

    def parse(self, name: str, value: object) -> str:
        """Return the text."""
        text = str(value)
        if not self.pattern.fullmatch(text):
            raise ConfigError(f"{name} must be {self.words}, not {text!r}")
        return text

    def shown(self, value: object) -> object:
        """Return the text."""
        return value


@dataclass(frozen=True, slots=True)
class Hidden:
    """Text that matches a pattern and is not shown, neither by commands nor in messages."""

    pattern: re.Pattern[str]
    words: str
    metavar: str = "TEXT"
    toml: object = str

    def parse(self, name: str, value: object) -> str:
        """Return the text; the message of ConfigError does not contain it."""
        text = str(value)
        if not self.pattern.fullmatch(text):
            raise ConfigError(f"{name} must be {self.words}")
        return text

    def shown(self, value: object) -> object:
        """Return a mask for the value."""
        del value
        return HIDDEN


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    choices: tuple[str, ...]
    toml: object = str

    @property
    def metavar(self) -> str:
        """The words."""
        return "|".join(self.choices)

    def parse(self, name: str, value: object) -> str:
        """Return the word."""
        text = str(value)
        if text not in self.choices:
            raise ConfigError(f"{name} must be one of {', '.join(self.choices)}, not {text!r}")
        return text

    def shown(self, value: object) -> object:
        """Return the word."""
        return value


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A whole number within bounds, both included."""

    least: int
    most: int
    toml: object = int

    @property
    def metavar(self) -> str:
        """The bounds."""
        return f"{self.least}..{self.most}"

    def parse(self, name: str, value: object) -> int:
        """Return the number."""
        text = str(value)
        if not _WHOLE.fullmatch(text) or not self.least <= int(text) <= self.most:
            raise ConfigError(f"{name} must be a whole number from {self.least} to {self.most}, not {text!r}")
        return int(text)

    def shown(self, value: object) -> object:
        """Return the number."""
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number within bounds, both included; without exponent, sign, infinity or NaN."""

    least: float
    most: float
    toml: object = float

    @property
    def metavar(self) -> str:
        """The bounds."""
        return f"{self.least:g}..{self.most:g}"

    def parse(self, name: str, value: object) -> float:
        """Return the number."""
        text = str(value)
        if not _NUMBER.fullmatch(text) or not self.least <= float(text) <= self.most:
            raise ConfigError(f"{name} must be a number from {self.least:g} to {self.most:g}, not {text!r}")
        return float(text)

    def shown(self, value: object) -> object:
        """Return the number."""
        return value


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off; its flag has no value and turns it on."""

    metavar: str = ""
    toml: object = bool

    def parse(self, name: str, value: object) -> bool:
        """Return whether it is on."""
        text = str(value).lower()
        if text not in _TRUE + _FALSE:
            raise ConfigError(f"{name} must be true or false, not {text!r}")
        return text in _TRUE

    def shown(self, value: object) -> object:
        """Return whether it is on."""
        return value


@dataclass(frozen=True, slots=True)
class Maybe(Generic[T]):
    """A form whose value may be absent; empty text is absent, too, unless ``refuses_empty``."""

    form: Form[T]
    refuses_empty: bool = False

    @property
    def metavar(self) -> str:
        """The placeholder of a present value."""
        return self.form.metavar

    @property
    def toml(self) -> object:
        """The type of a present value."""
        return self.form.toml

    def parse(self, name: str, value: object) -> T | None:
        """Return the value, or None."""
        is_absent = value is None or (value == "" and not self.refuses_empty)
        return None if is_absent else self.form.parse(name, value)

    def shown(self, value: object) -> object:
        """Return the value, or None."""
        return None if value is None else self.form.shown(value)
