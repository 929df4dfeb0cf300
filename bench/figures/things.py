"""Owns the figures of depth of the registry: the last page of every list of things costs what the first one costs."""

import statistics
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from bench import service
from bench.filling_things import VALUES, fill_things
from bench.load import Caller, Load, LoadGenerator
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import Run, rotated
from bench.service import Service
from bench.wire import Request, query_of

PAGE_SIZE = "250"
GROUP = "fleet"
SIDES = "both sides: one client, HTTPS keep-alive, SigV4, one read after the other, warm page cache; pages of 250, p50"
LISTS: Mapping[str, tuple[str, dict[str, str], int]] = {
    "ListThings": ("/things", {}, 1),
    "ListThings by attribute": ("/things", {"attributeName": "line", "attributeValue": "one"}, VALUES),
    "ListThingsInThingGroup": (f"/thing-groups/{GROUP}/things", {}, 1),
}
"""Each list's path, its filter, and one thing in how many it holds."""


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the first and the last page of each list in turns."""
    plan = run.plan
    with _filled(run.directory / "things", plan.rows) as ours, LoadGenerator() as generator:
        requests: dict[tuple[str, str], Request] = {}
        for name, (path, query, share) in LISTS.items():
            last, listed = _walk(ours, path, query)
            if listed != plan.rows // share:
                raise RuntimeError(f"the pages of {name} hold {listed} things, not {plan.rows // share}")
            requests[name, "first"] = _page(path, query)
            requests[name, "last"] = _page(path, query, last)
        loads: dict[tuple[str, str], list[Load]] = {side: [] for side in requests}
        foreign = ForeignLoad()
        for round_number in range(plan.row_rounds):
            for side in rotated(list(requests), round_number):
                load = generator.load(ours.endpoint, [requests[side]], clients=1, count=plan.row_requests)
                loads[side].append(load)
        foreign_share = foreign.share()
    return [_depth(name, loads[name, "last"], loads[name, "first"], plan.rows, foreign_share) for name in LISTS]


def _depth(name: str, last: list[Load], first: list[Load], rows: int, foreign_share: float) -> Measurement:
    rounds = ratios([load.p50_ms for load in last], [load.p50_ms for load in first])
    return Measurement(
        figure=f"depth-{name.lower().replace(' ', '-')}",
        title=f"{name} at {rows:,} things, last page ÷ first page",
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_MOST, 1.3),
        rounds=rounds,
        n=f"{len(rounds)} rounds, {sum(load.count for load in last)} requests a side",
        sides=f"{SIDES}; every page was walked first and counted",
        parts={
            "last_p50_ms": statistics.median(load.p50_ms for load in last),
            "first_p50_ms": statistics.median(load.p50_ms for load in first),
        },
        foreign_share=foreign_share,
    )


@contextmanager
def _filled(data_directory: Path, rows: int) -> Iterator[Service]:
    # The service itself makes one thing in a group; the rest is copied while it does not run.
    with service.running(data_directory) as ours, closing(Caller(ours.endpoint)) as caller:
        caller.text(Request("POST", "/things/device-0000001", "", '{"attributePayload":{"attributes":{"line":"one"}}}'))
        caller.text(Request("POST", f"/thing-groups/{GROUP}", "", "{}"))
        member = f'{{"thingGroupName":"{GROUP}","thingName":"device-0000001"}}'
        caller.text(Request("PUT", "/thing-groups/addThingToThingGroup", "", member))
    fill_things(data_directory, rows)
    with service.running(data_directory) as ours:
        yield ours


def _page(path: str, query: Mapping[str, str], token: str | None = None) -> Request:
    parameters = {"maxResults": PAGE_SIZE, **query} | ({"nextToken": token} if token else {})
    return Request("GET", path, query_of(parameters))


def _walk(ours: Service, path: str, query: Mapping[str, str]) -> tuple[str | None, int]:
    token, listed = None, 0
    with closing(Caller(ours.endpoint)) as caller:
        while True:
            page = caller.json(_page(path, query, token))
            listed += len(page["things"])
            if not page.get("nextToken"):
                return token, listed
            token = page["nextToken"]
