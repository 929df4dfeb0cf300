"""Every page on the registry of a whole fleet: no turn of the event loop grows with the fleet.

The service runs in a watched event loop of this process. Pages come from the table, so that a new one is tried, or
named here with the reason.
"""

import asyncio
import contextlib
import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

import apsw
import pytest
from tests.api.test_turns_of_operations import ENLARGE
from tests.support.clients.aws import AccessKey, IoT, Live
from tests.support.console.console_pages import Pages
from tests.support.machine.loop_thread import GENEROUS, LOOPS, LoopThread, loop_thread
from tests.support.machine.turn_watch import LongTurn, TurnSelector, begin, ensure_short_turns, reference_seconds
from tests.support.services.service import Service

from thingmint.cli.simulation.clients.identity import new_signing_request
from thingmint.console.table import PAGES
from thingmint.data_directory.handover import Endpoints, read_credentials
from thingmint.service.serving import serve
from thingmint.settings.config import load_config
from thingmint.storage import SQLITE_FILE_NAME

FLEET = 6_000
BUDGET = 50.0
ATTEMPTS = 5
CERTIFICATE = f"{1:064x}"
# The path and query of each page, below the console.
ADDRESSES = {
    "GET /console": [""],
    "GET /console/": ["/"],
    "GET /console/certificates": [
        "/certificates",
        "/certificates?status=ACTIVE",
        "/certificates?status=REVOKED",
        "/certificates?id=0000",
        "/certificates?common-name=A",
        "/certificates?thing=thing-1",
        "/certificates?status=REVOKED&common-name=A",
    ],
    "POST /console/certificates/bulk": ["/certificates/bulk"],
    "GET /console/certificates/{certificate}": [f"/certificates/{CERTIFICATE}"],
    "GET /console/certificates/{certificate}/{action}": [f"/certificates/{CERTIFICATE}/revoke"],
    "GET /console/create": ["/create"],
    "GET /console/things": ["/things", "/things?type=type", "/things?attribute=a&value=1"],
    "GET /console/things/{thing}": ["/things/thing-1"],
    "GET /console/groups": ["/groups"],
    "GET /console/groups/{group}": ["/groups/group"],
    "GET /console/policies": ["/policies"],
    "GET /console/policies/{policy}": ["/policies/policy"],
    "GET /console/simulator": ["/simulator"],
    "GET /console/fleets": ["/fleets"],
    "GET /console/devices": ["/devices"],
    "GET /console/devices/client": ["/devices/client?id=thing-1"],
    "GET /console/devices/watch": ["/devices/watch?filter=a%2F%23"],
    "GET /console/authorities": ["/authorities"],
    "GET /console/nodes": ["/nodes"],
    "GET /console/audit": ["/audit", "/audit?action=none", "/audit?resource=none"],
    "GET /console/audit/export": ["/audit/export"],
    "GET /console/settings": ["/settings"],
}
OF_ONE_ROW = "reads a single row or a bounded file, which other pages do as well"
ENDLESS = "a stream of a part of another page"
OPERATION = "calls an operation, which tests/api/test_turns_of_operations.py tries"
NOT_TRIED = {
    "GET /console/overview/events": ENDLESS,
    "GET /console/devices/watch/events": "a stream of messages",
    "GET /console/certificates/{certificate}/proof": OF_ONE_ROW,
    "GET /console/fleets/{template}": OF_ONE_ROW,
    "GET /console/fleets/tasks/{task}": OF_ONE_ROW,
    "GET /console/authorities/{ca}": OF_ONE_ROW,
} | {f"POST {each.path}": OPERATION for each in PAGES if each.method == "POST" and f"POST {each.path}" not in ADDRESSES}

AUDIT = (
    "INSERT INTO audit (at, account, region, principal_arn, source_address, request_id, action, resource, detail)"
    " SELECT 1, $1, $2, 'arn:aws:iam::' || $1 || ':user/fleet', '192.0.2.1', 'request', 'CreateThing',"
    " 'arn:aws:iot:' || $2 || ':' || $1 || ':thing/thing-' || n, '{}' FROM n"
)
NUMBERS = f"WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {FLEET}) "


@dataclass(frozen=True)
class InProcess:
    """What clients need to know of the service."""

    endpoints: Endpoints
    data_dir: Path


@dataclass(frozen=True)
class Watched:
    """The service, its watched loop, and a client that has signed in to the console."""

    thread: LoopThread
    selector: TurnSelector
    pages: Pages


def fill(iot: IoT, data_dir: Path, endpoints: Endpoints) -> None:
    """Add a device by the API, and the fleet to the database."""
    request = new_signing_request("device")
    arn = iot.create_certificate_from_csr(certificateSigningRequest=request.csr_pem, setAsActive=True)["certificateArn"]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    iot.create_policy(policyName="policy", policyDocument=json.dumps(document))
    iot.attach_policy(policyName="policy", target=arn)
    iot.create_thing_type(thingTypeName="type")
    iot.create_billing_group(billingGroupName="billing")
    iot.create_thing_group(thingGroupName="group")
    with contextlib.closing(apsw.Connection(str(data_dir / SQLITE_FILE_NAME))) as tables:
        tables.set_busy_timeout(5_000)
        for statement in (*ENLARGE, AUDIT):
            head, _, rest = statement.partition(" SELECT ")
            bindings = (endpoints.account, endpoints.region) if "$1" in statement else ()
            tables.execute(f"{head} {NUMBERS} SELECT {rest}", bindings).fetchall()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A service with a fleet."""
    data_dir, selector = tmp_path_factory.mktemp("fleet") / "data", TurnSelector()
    settings = {"data_dir": str(data_dir), "api": "127.0.0.1:0", "mqtt": "127.0.0.1:0", "key_reserve": "0"}
    config = load_config(settings | {"key_workers": "1"}, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LOOPS, "watched", partial(asyncio.SelectorEventLoop, selector))
        with loop_thread("watched") as thread:
            ready: asyncio.Future[Endpoints] = thread.call(thread.loop.create_future)
            stop = thread.call(asyncio.Event)
            serving = asyncio.run_coroutine_threadsafe(serve(config, on_ready=ready.set_result, stop=stop), thread.loop)

            async def until_ready() -> Endpoints:
                return await ready

            endpoints = thread.run(until_ready())
            try:
                live = Live(cast("Service", InProcess(endpoints, data_dir)), None)
                credentials = read_credentials(data_dir)
                assert credentials is not None
                key = AccessKey(credentials.access_key_id, credentials.secret_access_key)
                with contextlib.closing(live.client(key)) as iot:
                    fill(iot, data_dir, endpoints)
                pages = Pages(live).sign_in(key)
                yield Watched(thread, selector, pages)
            finally:
                thread.call(stop.set)
                serving.result(GENEROUS)
                gc.unfreeze()


def test_every_page_is_tried() -> None:
    assert ADDRESSES.keys() | NOT_TRIED.keys() == {f"{each.method} {each.path}" for each in PAGES}
    assert not ADDRESSES.keys() & NOT_TRIED.keys()


@pytest.mark.parametrize("page", ADDRESSES)
def test_a_page_has_no_turn_that_grows_with_the_fleet(watched: Watched, page: str) -> None:
    for attempt in range(ATTEMPTS):
        before = reference_seconds()
        watched.thread.run(begin(watched.selector))
        for address in ADDRESSES[page]:
            assert status_of(watched.pages, page, address) == 200, address
        # What pages have begun, such as counting, goes on after their answers.
        watched.thread.run(asyncio.sleep(0.5))
        seconds = watched.thread.call(watched.selector.seconds.copy)
        try:
            ensure_short_turns(seconds, BUDGET, max(before, reference_seconds()))
        except LongTurn:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return


def status_of(pages: Pages, page: str, address: str) -> int:
    if page.startswith("GET"):
        return pages.get(address).status
    selected = [("selected", f"{number:064x}") for number in range(1, 501)]
    form = urlencode([("form_token", pages.form_token), ("action", "revoke"), *selected]).encode()
    return pages.ask("POST", address, form, {"content-type": "application/x-www-form-urlencoded"}).status
