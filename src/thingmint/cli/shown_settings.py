"""`thingmint settings`: prints the settings in force and the source of each."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby

import click

from thingmint.cli.terminal.columns import table_rows, terminal_width
from thingmint.settings.config import Config, Origin, Source
from thingmint.settings.file import nearest
from thingmint.settings.setting import Places, Setting
from thingmint.settings.table import SETTINGS

_PREFIX = "THINGMINT_"


def show_settings(config: Config, environment: Mapping[str, str], *, as_json: bool, only_given: bool) -> None:
    """Print every setting with its value and source, without secrets; warn about variables that are not read."""
    settings = [each for each in SETTINGS if not only_given or config.is_given(each.name)]
    if as_json:
        click.echo(json.dumps([_fields(config, each) for each in settings], indent=2, ensure_ascii=False))
    else:
        for line in _lines(config, settings):
            click.echo(line)
    for warning in unread_variables(environment):
        click.echo(f"thingmint: warning: {warning}", err=True)


def unread_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable with the prefix of settings that is no setting."""
    variables = [each.variable for each in SETTINGS if Places.VARIABLE in each.places]
    files = [each.file_variable for each in SETTINGS if each.file_variable is not None]
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in (*variables, *files):
            yield f"{name} is the variable of no setting{nearest(name, [*variables, *files])}"


def _lines(config: Config, settings: list[Setting]) -> Iterator[str]:
    heading = ("  setting", "value", "from")
    rows = [(f"  {each.name}", _text(_value(config, each)), _place(config.origins[each.name])) for each in settings]
    # The names of groups are printed between the rows, so they do not widen a column.
    lines = table_rows([heading, *rows], terminal_width())
    yield from next(lines)
    for group, members in groupby(settings, key=lambda setting: setting.group):
        yield f"{group}:"
        for _ in members:
            yield from next(lines)


def _fields(config: Config, setting: Setting) -> dict[str, object]:
    origin = config.origins[setting.name]
    return {
        "name": setting.name,
        "value": _value(config, setting),
        "source": origin.source,
        "place": origin.place or None,
        "default": setting.form.shown(setting.form.parse(setting.name, setting.default)),
        "group": setting.group,
    }


def _value(config: Config, setting: Setting) -> object:
    return setting.form.shown(getattr(config, setting.name))


def _text(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return json.dumps(value, ensure_ascii=False) if value else "–"
        case _:
            return str(value)


def _place(origin: Origin) -> str:
    return origin.source if origin.source is Source.DEFAULT else f"{origin.source} {origin.place}"
