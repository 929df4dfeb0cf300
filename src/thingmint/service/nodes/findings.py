"""Owns the findings on what several nodes share: the database, its clock and the other nodes. Reads nothing itself."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from thingmint.records.nodes.nodes import NodeRow
from thingmint.service.clocks import MOST_SKEW
from thingmint.service.findings import Finding, Verdict
from thingmint.service.nodes.membership import CROSSES_NOT
from thingmint.service.nodes.settings_comparison import comparable_settings, differences
from thingmint.settings.config import Config

# Engines that speak its protocol name themselves, or add something: PostgreSQL 15.2-YB-2.21.0.0-b0.
_POSTGRESQL = re.compile(r"PostgreSQL [0-9]+(\.[0-9]+)*( \([^)]*\))?")
_SILENT_FOR = timedelta(seconds=10)


def findings_of_nodes(config: Config, alive: Sequence[NodeRow], now: datetime) -> Iterator[Finding]:
    """Yield the findings on the nodes of a database, compared with the settings of this one."""
    if not alive:
        return
    yield Finding(Verdict.OK, f"nodes that serve the database: {len(alive)}")
    own = comparable_settings(config)
    for node in alive:
        if now - node.seen_at > _SILENT_FOR:
            seconds = (now - node.seen_at).total_seconds()
            yield Finding(Verdict.WARNING, f"the node {node.name} was seen last {seconds:.0f} seconds ago")
        if different := differences(own, node):
            yield Finding(Verdict.WARNING, f"the node {node.name} has other settings: {', '.join(different)}")
    if len(alive) > 1 and any(node.data_plane == "local" for node in alive):
        yield Finding(Verdict.WARNING, CROSSES_NOT)


def engine_finding(version: str) -> Finding:
    """Return the finding on a database by its version(): others than PostgreSQL itself are not tested."""
    name, _, _ = version.partition(" on ")
    if _POSTGRESQL.fullmatch(name):
        return Finding(Verdict.OK, f"the database is {name}")
    return Finding(Verdict.WARNING, f"the database is {name}: Thingmint is tested with PostgreSQL alone")


def clock_finding(skew: timedelta) -> Finding:
    """Return the finding on this machine's clock, which is ahead of the database's by ``skew``."""
    verdict = Verdict.WRONG if abs(skew) > MOST_SKEW else Verdict.OK
    direction = "ahead of" if skew >= timedelta() else "behind"
    seconds = abs(skew).total_seconds()
    return Finding(verdict, f"the clock of this machine is {seconds:.1f} seconds {direction} the database's")
