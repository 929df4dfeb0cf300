"""Owns the report of a run: a table for people, JSON for programs."""

import json
import sys
from collections.abc import Sequence

import click
from msgspec import Struct, structs

from thingmint.cli.simulation.measures import Measures, Step
from thingmint.cli.simulation.storm import StormKind


class RunOutcome(Struct, frozen=True):
    """The result of a run. ``kept`` are resources left on purpose, ``troubles`` those that could not be removed."""

    run: str
    devices: int
    failed: int
    seconds: float
    interrupted: bool
    measures: Measures
    kept: Sequence[str]
    troubles: Sequence[str]
    renews: bool = False
    storm: StormKind | None = None

    @property
    def provisioned(self) -> int:
        """The number of devices that reconnected with their own identity."""
        return self.measures.count(Step.PROVISIONED)

    @property
    def lost(self) -> int:
        """The number of devices that had an identity, should renew it, and did not reconnect."""
        return self.provisioned - self.measures.count(Step.RETURN)


def print_report(outcome: RunOutcome) -> None:
    """Print the table and the sums below it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    for heading in ("count", "p50 ms", "p95 ms", "p99 ms", "max ms"):
        table.add_column(heading, justify="right")
    for step, latency in outcome.measures.latencies().items():
        times = (latency.p50, latency.p95, latency.p99, latency.max)
        table.add_row(step, str(latency.count), *(f"{each:.1f}" for each in times))
    # Without a terminal, wide enough for the table; names in it are not markup.
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(table)
    for line in _lines(outcome):
        click.echo(line)


def print_json(outcome: RunOutcome) -> None:
    """Print the same as one JSON object."""
    measures = outcome.measures
    members = {
        "run": outcome.run,
        "devices": outcome.devices,
        "provisioned": outcome.provisioned,
        "failed": outcome.failed,
        "interrupted": outcome.interrupted,
        "seconds": round(outcome.seconds, 3),
        "messages": measures.count(Step.ROUND_TRIP),
        "throttled": measures.throttled,
        "latencies_ms": {step: _rounded(structs.asdict(latency)) for step, latency in measures.latencies().items()},
        "errors": [{"step": step, "kind": kind, "count": count} for (step, kind), count in measures.errors.items()],
        **({"renewals": _renewals(measures), "lost": outcome.lost} if outcome.renews else {}),
        **({"storm": outcome.storm} if outcome.storm else {}),
        **({"attempts": measures.attempts} if outcome.storm is StormKind.RECONNECT else {}),
        "kept": list(outcome.kept),
        "not_removed": list(outcome.troubles),
    }
    click.echo(json.dumps(members, indent=2))


def _lines(outcome: RunOutcome) -> list[str]:
    measures = outcome.measures
    messages = measures.count(Step.ROUND_TRIP)
    provisioned = f"{outcome.provisioned} of {outcome.devices} devices provisioned"
    lines = ["", f"{provisioned}, {messages} messages, in {outcome.seconds:.1f} s (run {outcome.run})"]
    if measures.throttled:
        lines.append(f"told to come back later {measures.throttled} times, which is not in the times of single steps")
    for (before, after), count in measures.renewals.items():
        lines.append(f"renewed: {count} certificates of {before} by {after}")
    if outcome.renews:
        lines.append(f"lost: {outcome.lost} devices")
    if outcome.storm is StormKind.RECONNECT:
        back = f"{measures.count(Step.BACK)} devices came back"
        lines.append(f"{back} after {measures.attempts} attempts to connect")
    lines += [f"failed: {count} × {step}: {kind}" for (step, kind), count in measures.errors.most_common()]
    lines += [f"kept: {name}" for name in outcome.kept]
    lines += [f"not removed: {trouble}" for trouble in outcome.troubles]
    return lines


def _renewals(measures: Measures) -> list[dict[str, object]]:
    return [
        {"old_issuer": before, "new_issuer": after, "count": count}
        for (before, after), count in measures.renewals.items()
    ]


def _rounded(members: dict[str, float]) -> dict[str, float]:
    return {name: value if name == "count" else round(value, 3) for name, value in members.items()}
