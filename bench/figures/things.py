"""Owns the figures of depth of the registry: the last page of every list of things costs what the first one costs."""

import json
import statistics
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import service
from bench.certificates import csr_pems
from bench.filling_things import THINGS_EACH, TYPE, VALUES, fill_things
from bench.load import Caller, Load, LoadGenerator
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import Run, rotated
from bench.service import Service, csr_request
from bench.wire import Request, query_of

PAGE_SIZE = "250"
GROUP = "fleet"
POLICY = "reading"
FIRST = "device-0000001"
DOCUMENT = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}
SIDES = "both sides: one client, HTTPS keep-alive, SigV4, one read after the other, warm page cache; pages of 250, p50"


@dataclass(frozen=True)
class List:
    """A list: its path and filter, the member that holds the page, and one thing in how many it has an entry for."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    member: str = "things"
    share: int = 1
    method: str = "GET"

    @property
    def of_policies(self) -> bool:
        """Whether pages are asked for as the older operations are."""
        return self.member in {"policies", "targets"}

    def page(self, token: str | None = None) -> Request:
        """Return the request for the page that the token stands for, or the first one."""
        size, place = ("pageSize", "marker") if self.of_policies else ("maxResults", "nextToken")
        parameters = {size: PAGE_SIZE, **self.query} | ({place: token} if token else {})
        return Request(self.method, self.path, query_of(parameters))

    def entries(self, answer: Mapping[str, Any]) -> tuple[int, str | None]:
        """Return how many entries the page has, and the token of the next one."""
        return len(answer[self.member]), answer.get("nextMarker" if self.of_policies else "nextToken")


LISTS: Mapping[str, List] = {
    "ListThings": List("/things"),
    "ListThings by type": List("/things", {"thingTypeName": TYPE}),
    "ListThings by attribute": List("/things", {"attributeName": "line", "attributeValue": "one"}, share=VALUES),
    "ListThingsInThingGroup": List(f"/thing-groups/{GROUP}/things"),
    "ListThingPrincipals": List(f"/things/{FIRST}/principals", member="principals", share=THINGS_EACH),
    "ListPolicies": List("/policies", member="policies", share=THINGS_EACH),
    "ListTargetsForPolicy": List(f"/policy-targets/{POLICY}", member="targets", share=THINGS_EACH, method="POST"),
}


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the first and the last page of each list in turns."""
    plan = run.plan
    with _filled(run.directory / "things", plan.rows) as ours, LoadGenerator() as generator:
        requests: dict[tuple[str, str], Request] = {}
        for name, one in LISTS.items():
            last, listed = _walk(ours, one)
            if listed != plan.rows // one.share:
                raise RuntimeError(f"the pages of {name} hold {listed} entries, not {plan.rows // one.share}")
            requests[name, "first"] = one.page()
            requests[name, "last"] = one.page(last)
        loads: dict[tuple[str, str], list[Load]] = {side: [] for side in requests}
        foreign = ForeignLoad()
        for round_number in range(plan.row_rounds):
            for side in rotated(list(requests), round_number):
                load = generator.load(ours.endpoint, [requests[side]], clients=1, count=plan.row_requests)
                loads[side].append(load)
        foreign_share = foreign.share()
    return [
        _depth(name, loads[name, "last"], loads[name, "first"], plan.rows // one.share, foreign_share)
        for name, one in LISTS.items()
    ]


def _depth(name: str, last: list[Load], first: list[Load], rows: int, foreign_share: float) -> Measurement:
    rounds = ratios([load.p50_ms for load in last], [load.p50_ms for load in first])
    return Measurement(
        figure=f"depth-{name.lower().replace(' ', '-')}",
        title=f"{name}, {rows:,} entries, last page ÷ first page",
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
    # The service itself makes one of each; the rest is copied while it does not run.
    with service.running(data_directory) as ours, closing(Caller(ours.endpoint)) as caller:
        caller.text(_write("POST", f"/thing-types/{TYPE}", {}))
        caller.text(_write("POST", f"/policies/{POLICY}", {"policyDocument": json.dumps(DOCUMENT)}))
        certificate_id = str(caller.json(csr_request(csr_pems()[0]))["certificateId"])
        caller.text(_write("POST", "/things", {"templateBody": json.dumps(_template(certificate_id))}))
        caller.text(_write("POST", f"/thing-groups/{GROUP}", {}))
        member = {"thingGroupName": GROUP, "thingName": FIRST}
        caller.text(_write("PUT", "/thing-groups/addThingToThingGroup", member))
    fill_things(data_directory, rows)
    with service.running(data_directory) as ours:
        yield ours


def _template(certificate_id: str) -> dict[str, object]:
    # RegisterThing makes the thing and attaches it and the policy to the certificate.
    thing = {"ThingName": FIRST, "ThingTypeName": TYPE, "AttributePayload": {"line": "one"}}
    properties = {"Thing": thing, "Policy": {"PolicyName": POLICY}, "Certificate": {"CertificateId": certificate_id}}
    return {"Resources": {name: {"Type": f"AWS::IoT::{name}", "Properties": each} for name, each in properties.items()}}


def _write(method: str, path: str, body: Mapping[str, object]) -> Request:
    return Request(method, path, "", json.dumps(body))


def _walk(ours: Service, one: List) -> tuple[str | None, int]:
    token, listed = None, 0
    with closing(Caller(ours.endpoint)) as caller:
        while True:
            entries, following = one.entries(caller.json(one.page(token)))
            listed += entries
            if not following:
                return token, listed
            token = following
