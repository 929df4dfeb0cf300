"""Owns how templates become pages: everything that is not a template is escaped, and what is missing is an error."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import jinja2
from markupsafe import Markup, escape

_SHOWN_DIGITS: Final = 12
_SHOWN_CHARACTERS: Final = 200


class Templates:
    """The templates of the console, compiled once."""

    def __init__(self) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("thingmint.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            # A member of an answer that did not travel.
            finalize=lambda value: "" if value is None else value,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(time=shown_time, short=shown_id, cut=cut, number=shown_number)

    def render(self, template: str, values: Mapping[str, object]) -> str:
        """Return the page."""
        return self._environment.get_template(template).render(values)


def shown_time(value: datetime | float | None) -> Markup:
    """Return a time, aware or in seconds since 1970, as readers and machines read it; a dash for none."""
    if value is None:
        return Markup("–")
    at = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S}")


def shown_id(value: str | None) -> Markup:
    """Return the beginning of a long id; all of it is there for those who point at it."""
    text = value or "–"
    if len(text) <= _SHOWN_DIGITS:
        return escape(text)
    return Markup('<span title="{}">{}…</span>').format(text, text[:_SHOWN_DIGITS])


def cut(value: object) -> str:
    """Return a text whose length a device or a caller chose, cut."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def shown_number(value: int) -> str:
    """Return a number with its thousands apart."""
    return f"{value:,}".replace(",", "\u202f")
