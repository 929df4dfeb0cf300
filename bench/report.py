"""Owns how the figures are shown: a table for people, JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import Machine
from bench.measurement import Measurement, Skipped

HEADINGS = ("figure", "value", "quartiles", "target", "met", "others")
NOISY = 0.05
"""From this share of the machine in the hands of others on, a figure deserves no trust."""


def print_report(machine: Machine, results: Sequence[Measurement | Skipped]) -> None:
    """Print the machine, the table, and under it what each figure is made of."""
    print(f"\n{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, {machine.kernel}, {machine.file_system}")
    print(f"{machine.python}, cryptography {machine.cryptography}, {machine.openssl}\n")
    rows = [HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    print()
    for result in results:
        _print_details(result)


def _row(result: Measurement | Skipped) -> tuple[str, ...]:
    if isinstance(result, Skipped):
        return (result.title, "skipped", "", "", "", "")
    low, high = result.spread
    return (
        result.title,
        f"{result.value:.3f} {result.unit}",
        f"{low:.3f} to {high:.3f}",
        f"{result.target.bound} {result.target.value:g}",
        "yes" if result.met else "NO",
        f"{result.foreign_share:.0%}" + (" noisy" if result.foreign_share > NOISY else ""),
    )


def _print_details(result: Measurement | Skipped) -> None:
    if isinstance(result, Skipped):
        print(f"{result.figure}: skipped: {result.reason}")
        return
    parts = ", ".join(f"{name} {value:.4g}" for name, value in result.parts.items())
    print(f"{result.figure}: {result.n}\n    {parts}\n    {result.sides}")


def write_json(path: Path, machine: Machine, results: Sequence[Measurement | Skipped], *, quick: bool) -> None:
    """Write the same, with the value of each round."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": asdict(machine),
        "figures": [_members(result) for result in results],
    }
    path.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _members(result: Measurement | Skipped) -> dict[str, Any]:
    if isinstance(result, Skipped):
        return {**asdict(result), "skipped": True}
    low, high = result.spread
    return {**asdict(result), "met": result.met, "quartiles": [low, high]}
