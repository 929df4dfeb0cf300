"""A log of the service that keeps its lines for a test."""

from dataclasses import dataclass, field


@dataclass
class RecordedLog:
    """An `OperationalLog` that keeps each line: its level, its event and its fields."""

    lines: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def debug(self, event: str, **fields: object) -> None:
        """Keep the line."""
        self.lines.append(("debug", event, fields))

    def info(self, event: str, **fields: object) -> None:
        """Keep the line."""
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """Keep the line."""
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """Keep the line."""
        self.lines.append(("error", event, fields))
