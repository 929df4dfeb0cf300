"""Owns the reading of points in time and durations on the command line. Independent of the options."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A point in time: a duration before now such as ``90s``, ``30m``, ``2h``, ``7d`` or ``1w``, or ISO 8601."""

    name = "time"

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time, aware and UTC; a time without offset is UTC."""
        text = str(value)
        try:
            if ago := _AGO.fullmatch(text):
                return self._now() - timedelta(**{_UNITS[ago["unit"]]: int(ago["count"])})
            found = datetime.fromisoformat(text)
            return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is neither a duration such as 2h nor a time such as 2026-01-31T12:00", param, ctx)


class Duration(click.ParamType):  # type: ignore[type-arg]  # as above
    """A number of seconds, written as ``90s``, ``30m``, ``2h``, ``7d`` or ``1w``."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        text = str(value)
        found = _AGO.fullmatch(text)
        if found is None:
            self.fail(f"{text!r} is no duration such as 90s, 30m, 2h or 7d", param, ctx)
        return timedelta(**{_UNITS[found["unit"]]: int(found["count"])}).total_seconds()
