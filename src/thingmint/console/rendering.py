"""Owns the rendering of templates: every value is escaped, and a missing value is an error."""

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
            # A member that an answer lacks is None.
            finalize=lambda value: "" if value is None else value,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(time=shown_time, short=shown_id, cut=cut, number=shown_number)

    def render(self, template: str, values: Mapping[str, object]) -> str:
        """Return the page."""
        return self._environment.get_template(template).render(values)


def shown_time(value: datetime | float | None) -> Markup:
    """Return the ``time`` element of a datetime or of seconds since 1970; a dash for None."""
    if value is None:
        return Markup("–")
    at = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S}")


def shown_id(value: str | None) -> Markup:
    """Return the beginning of a long id; the title of the element has all of it."""
    text = value or "–"
    if len(text) <= _SHOWN_DIGITS:
        return escape(text)
    return Markup('<span title="{}">{}…</span>').format(text, text[:_SHOWN_DIGITS])


def cut(value: object) -> str:
    """Return at most `_SHOWN_CHARACTERS` of a text whose length a device or a caller chose."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def shown_number(value: int) -> str:
    """Return a number with a narrow space between thousands."""
    return f"{value:,}".replace(",", "\u202f")
