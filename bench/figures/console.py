"""Owns the figure of the console: what a page takes of the server's time, with many certificates in the registry."""

import http.client
import json
import ssl
import statistics
import urllib.parse
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bench import service
from bench.certificates import csr_pems
from bench.filling import fill
from bench.load import Caller
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target
from bench.plan import Run
from bench.service import Service, csr_request
from bench.wire import Endpoint

_TARGET_MS = 100.0
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_PERCENTILE = 95


def measure(run: Run) -> list[Measurement | Skipped]:
    """Load pages of the console one after the other; the server's log tells how long each took."""
    plan, directory = run.plan, run.directory / "console"
    with service.running(directory) as ours, closing(Caller(ours.endpoint)) as caller:
        caller.text(csr_request(csr_pems()[0]))
    ids = fill(directory, plan.rows)
    foreign = ForeignLoad()
    with service.running(directory) as ours:
        _load(ours, _paths(ids), plan.row_requests // 10)
    times = _times(directory.with_name(f"{directory.name}.log"))
    share = foreign.share()
    everything = [each for of_page in times.values() for each in of_page]
    return [
        Measurement(
            figure="console-pages",
            title=f"console pages at {plan.rows:,} certificates, p95 of server time",
            value=_p95(everything),
            unit="ms",
            target=Target(Bound.AT_MOST, _TARGET_MS),
            rounds=tuple(_p95(of_page) for of_page in times.values()),
            n=f"{len(everything)} pages of {len(times)} kinds",
            sides="one browser session, one page after the other; while the registry is counted and after that",
            parts={f"{page}_p95_ms": _p95(of_page) for page, of_page in times.items()},
            foreign_share=share,
        )
    ]


def _paths(ids: Sequence[str]) -> Sequence[str]:
    searches = [
        "",
        "?status=ACTIVE",
        "?status=REVOKED",
        "?end=2049-12-31",
        "?status=ACTIVE&common-name=AWS",
        "?status=REVOKED&end-since=2049-01-01&end=2049-12-31",
        "?common-name=AWS",
        "?common-name=nothing",
        "?serial-number=4d",
        f"?id={ids[0][:8]}",
        f"?after={len(ids)}",
    ]
    pages = [
        "",
        "/create",
        "/things",
        "/groups",
        "/policies",
        "/fleets",
        "/devices",
        "/authorities",
        "/audit",
        "/settings",
    ]
    return [*pages, *(f"/certificates{search}" for search in searches), *(f"/certificates/{one}" for one in ids[:20])]


def _load(ours: Service, paths: Sequence[str], rounds: int) -> None:
    cookie = _sign_in(ours.endpoint)
    with closing(_connection(ours.endpoint)) as connection:
        for _ in range(max(3, rounds)):
            for path in paths:
                connection.request("GET", f"/console{path}", headers={"cookie": cookie})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"the page {path} was answered with {answer.status}")


def _sign_in(endpoint: Endpoint) -> str:
    credentials = endpoint.credentials
    if credentials is None:
        raise RuntimeError("the service has no credentials")
    form = {"access_key_id": credentials.access_key_id, "secret_access_key": credentials.secret_access_key}
    with closing(_connection(endpoint)) as connection:
        connection.request("POST", "/console/login", urllib.parse.urlencode(form), _FORM)
        cookie = connection.getresponse().getheader("set-cookie")
    if cookie is None:
        raise RuntimeError("nobody was signed in")
    return cookie.partition(";")[0]


def _connection(endpoint: Endpoint) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    return http.client.HTTPSConnection(endpoint.host, endpoint.port, context=context)


def _times(log: Path) -> dict[str, list[float]]:
    """Return the milliseconds of each page by its kind."""
    times: dict[str, list[float]] = defaultdict(list)
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and '"event":"console"' in line:
            entry = json.loads(line)
            if entry["status"] == 200:
                times[entry["page"]].append(1000 * entry["seconds"])
    return times


def _p95(milliseconds: Sequence[float]) -> float:
    return statistics.quantiles(milliseconds, n=100)[_PERCENTILE - 1]
