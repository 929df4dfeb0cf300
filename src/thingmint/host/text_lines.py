"""Owns the form of a log line as text for people, without secrets. Loaded only if the log has this form."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from thingmint.host.json_lines import CONTROLS, mask_secrets
from thingmint.host.service_log import Render

# The service itself writes these fields, and they have several lines.
_MULTILINE = frozenset({"exception", "traceback"})


def text_lines(facts: Mapping[str, object], *, colors: bool) -> Render:
    """Return the function that makes the line of an event; each line contains the facts."""
    chain: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%SZ", utc=True),
        structlog.processors.format_exc_info,
        mask_secrets,
        # JSON escapes control characters. In text for a terminal, a device's data must not begin a line.
        without_absent,
        escape_controls,
    ]
    last = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def render(level: str, event: MutableMapping[str, Any]) -> str:
        event.update(facts)
        for processor in chain:
            processor(None, level, event)
        return last(None, level, event)

    return render


def without_absent(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Remove fields that are None."""
    for name in [name for name, value in event.items() if value is None]:
        del event[name]
    return event


def escape_controls(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters in texts, so that a device's data cannot end a line or begin another one."""
    for name, value in event.items():
        if isinstance(value, str) and name not in _MULTILINE:
            event[name] = CONTROLS.sub(_escaped, value)
    return event


def _escaped(found: "re.Match[str]") -> str:
    return found[0].encode("unicode_escape").decode("ascii")
