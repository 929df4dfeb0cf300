"""A service whose PostgreSQL commits and cannot say so: the client is told once that it is not known."""

import http.client
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.clients.aws import IoT, Live
from tests.support.databases.cutting_proxy import CuttingProxy, Fault, Loss, Side, proxy_in
from tests.support.databases.database import tables_of
from tests.support.machine.loop_thread import loop_thread
from tests.support.registration.policies import document, statement
from tests.support.services.nodes import eventually
from tests.support.services.service import Service, assert_consistent, running_service

POLICY = document(statement())


def told(proxy: CuttingProxy, loss: Loss, call: Any, **members: Any) -> str:
    """Call while the answer to the commit of this operation is lost; return what the client was told."""
    operation = "".join(word.capitalize() for word in call.__name__.split("_"))
    # Its audit entry names the operation.
    fault = proxy.fault = Fault(Side.SERVER, loss, containing=b"COMMIT\0", after=operation.encode())
    try:
        call(**members)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    finally:
        proxy.fault = None
        assert fault.fired
    return "done"


def audit_of(tmp_path: Path, url: str) -> list[dict[str, Any]]:
    return list(tables_of(tmp_path, url)["audit"])


@pytest.mark.parametrize("loss", [Loss.SWALLOWED, Loss.SWALLOWED_RESET], ids=["closed", "reset"])
def test_a_commit_whose_answer_is_lost_is_told_once_as_unavailable_and_never_repeated(
    tmp_path: Path,
    migrated_postgresql_url: str,
    loss: Loss,
) -> None:
    with loop_thread("asyncio") as thread, proxy_in(thread, migrated_postgresql_url) as proxy:
        with running_service(tmp_path / "data", "--database-url", proxy.url) as service:
            iot: IoT = Live(service, migrated_postgresql_url).client(retries={"total_max_attempts": 1})
            service.closers.append(iot.close)
            iot.create_policy(policyName="policy", policyDocument=POLICY)
            iot.create_thing(thingName="thing")
            kept = iot.create_keys_and_certificate()["certificateId"]
            answers = [
                told(proxy, loss, iot.create_policy, policyName="other", policyDocument=POLICY),
                told(proxy, loss, iot.create_policy_version, policyName="policy", policyDocument=POLICY),
                told(proxy, loss, iot.create_keys_and_certificate),
                told(
                    proxy,
                    loss,
                    iot.update_thing,
                    thingName="thing",
                    expectedVersion=1,
                    attributePayload={"merge": True},
                ),
                told(proxy, loss, iot.delete_certificate, certificateId=kept),
            ]
            assert answers == ["ServiceUnavailableException"] * 5
            versions = iot.list_policy_versions(policyName="policy")["policyVersions"]
            assert len(versions) == 2
            assert iot.describe_thing(thingName="thing")["version"] == 2
        # After its end, so that what the service says of itself is whole.
        entries = audit_of(tmp_path, migrated_postgresql_url)
        requests = Counter(entry["request_id"] for entry in entries if entry["action"] != "CreateAccessKey")
        assert set(requests.values()) == {1}
        assert_consistent(tmp_path, migrated_postgresql_url)


def test_readiness_is_answered_at_once_while_the_database_hangs_and_devices_are_told_apart(
    tmp_path: Path,
    migrated_postgresql_url: str,
) -> None:
    with loop_thread("asyncio") as thread, proxy_in(thread, migrated_postgresql_url) as proxy:
        options = ("--database-url", proxy.url, "--insecure-http")
        with running_service(tmp_path / "data", *options, key_reserve=0) as service:
            assert [page(service, path) for path in ("/readyz", "/readyz/devices")] == [200, 200]
            thread.call(proxy.passes.clear)
            eventually(lambda: page(service, "/readyz"), lambda status: status != 200)
            with ThreadPoolExecutor(20) as callers:
                began = time.monotonic()
                answers = list(callers.map(lambda _: page(service, "/readyz"), range(100)))
                took = time.monotonic() - began
            assert answers == [503] * 100
            # One after the other, each would have waited for the database's time limit of several seconds.
            assert took < 100
            assert [page(service, path) for path in ("/healthz", "/readyz/devices")] == [200, 200]
            thread.call(proxy.passes.set)
            eventually(lambda: page(service, "/readyz"), lambda status: status == 200)
        assert_consistent(tmp_path, migrated_postgresql_url)


def page(service: Service, path: str) -> int:
    """Return the status of a page for those who watch the service."""
    with closing(http.client.HTTPConnection("127.0.0.1", service.endpoints.api_port, timeout=60)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status
