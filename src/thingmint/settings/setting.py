"""Owns the form of a row in the table of settings. Has no settings."""

from dataclasses import Field, dataclass, field
from enum import Flag, StrEnum, auto
from typing import TypeVar, cast

from thingmint.settings.forms import Form, Switch

T = TypeVar("T")
_ROW = "setting"


class Group(StrEnum):
    """The groups of settings: the headings in the help and the documents, in their order."""

    SERVICE = "Service"
    STORAGE = "Storage"
    ADMINISTRATOR = "Administrator's access key"
    KEYS = "Keys and certificates"
    API = "API"
    PUBLIC = "Revocation lists and OCSP"
    EST = "Enrollment over Secure Transport"
    DEVICES = "Device port"
    DEVICE_TIMES = "Device port: times"
    BROKER = "Built-in MQTT broker"
    PROVISIONING = "Provisioning and registry"
    TRANSPARENCY = "Verifiable log"
    LOG = "Log"


class Places(Flag):
    """Where a setting may be given."""

    FLAG = auto()
    VARIABLE = auto()
    FILE = auto()


EVERYWHERE = Places.FLAG | Places.VARIABLE | Places.FILE
# The file is in the data directory, so it cannot set the directory.
NOT_IN_THE_FILE = Places.FLAG | Places.VARIABLE
# Process lists show flags, and more users may be able to read the file than the environment of a process.
SECRET = Places.VARIABLE
# Tables cannot be written as a flag.
FILE_ONLY = Places.FILE


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: the name in ``thingmint.toml``, the form of the value, and its meaning."""

    name: str
    form: Form[object]
    default: object
    meaning: str
    group: Group
    places: Places

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> tuple[str, ...]:
        """The command-line flag, and for a switch that is on by default also the flag that turns it off."""
        return (self.flag, f"--no-{self.flag[2:]}") if self.is_on_by_default else (self.flag,)

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "THINGMINT_" + self.name.upper()

    @property
    def file_variable(self) -> str | None:
        """The environment variable that names a file with the value of a secret."""
        return f"{self.variable}_FILE" if self.places is SECRET else None

    @property
    def is_switch(self) -> bool:
        """Whether its flag takes no value."""
        return isinstance(self.form, Switch)

    @property
    def is_on_by_default(self) -> bool:
        """Whether it is a switch that only a setting turns off."""
        return self.is_switch and self.default is True

    @property
    def default_text(self) -> str | None:
        """The default in help and documents; None if the setting is absent or off by default."""
        if self.is_switch:
            return "on" if self.is_on_by_default else None
        if self.default in (None, {}, ()):
            return None
        return ", ".join(self.default) if isinstance(self.default, tuple) else str(self.default)


def row(form: Form[T], default: object, meaning: str, group: Group, places: Places = EVERYWHERE) -> T:
    """Return the field of a dataclass whose name and type complete the row of a setting.

    ``default`` is written as in the file. Values are not in the repr of the dataclass, because some are secrets.
    """
    described = {_ROW: (form, default, meaning, group, places)}
    return cast("T", field(metadata=described, repr=False))


def setting_of(of: "Field[object]") -> Setting:
    """Return the setting whose row is this field."""
    form, default, meaning, group, places = of.metadata[_ROW]
    return Setting(of.name, form, default, meaning, group, places)
