"""Writes the tables of docs/reference/settings.md from the table of settings; the rest of the page is written by hand.

Run it after a change of `thingmint.settings.table`: python tools/settings_page.py
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from thingmint.settings.setting import Group, Places, Setting
from thingmint.settings.table import SETTINGS

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
BEGIN = "<!-- Written by tools/settings_page.py from src/thingmint/settings/table.py. -->"
END = "<!-- The rest is written by hand. -->"


def tables() -> str:
    """Return the tables of all groups."""
    return "\n".join(line for group, rows in groupby(SETTINGS, _group) for line in _table(group, list(rows)))


def page(text: str) -> str:
    """Return the page with its tables replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def _group(setting: Setting) -> Group:
    return setting.group


def _table(group: Group, settings: list[Setting]) -> Iterator[str]:
    yield from (f"## {group}", "")
    yield "| name | flag | environment variable | value | default | meaning |"
    yield "|---|---|---|---|---|---|"
    yield from map(_row, settings)
    yield ""


def _row(setting: Setting) -> str:
    name = f"`{setting.name}`" if Places.FILE in setting.places else f"`{setting.name}` (not in the file)"
    flag = ", ".join(f"`{each}`" for each in setting.flags) if Places.FLAG in setting.places else "–"
    variable = f"`{setting.variable}`" if Places.VARIABLE in setting.places else "–"
    default = "–" if setting.default_text is None else f"`{setting.default_text}`"
    if setting.is_switch:
        default = setting.default_text or "off"
    # A vertical line would end the cell.
    value = "on or off" if setting.is_switch else setting.form.metavar.replace("|", ", ") or "table"
    return f"| {name} | {flag} | {variable} | {value} | {default} | {setting.meaning} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
