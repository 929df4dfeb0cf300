"""Collects the log lines that the service writes in a test's own process."""

import contextlib
import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

from thingmint.host.service_log import LogOutput, service_log


@contextlib.contextmanager
def capture_logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Yield the list of what is logged until the end of the block: the fields of each event, and ``log_level``."""
    lines: list[MutableMapping[str, Any]] = []

    def render(level: str, event: MutableMapping[str, Any]) -> str:
        lines.append({**event, "log_level": level})
        return ""

    before = service_log.use(LogOutput(logging.DEBUG, render, lambda line: None))
    try:
        yield lines
    finally:
        service_log.use(before)
