"""A service whose clock is outside of the validity of its authority issues nothing until the clock is right."""

import socket
import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest
from tests.faults.test_clock_jumps import TurnedService, assert_nothing_is_issued, everything_turned_by, turned_by
from tests.support.services.forked import run_thingmint
from tests.support.services.service import Service, running_service, start_service

EARLIER = timedelta(days=-400)
# The authorities end with the year 2049, or twenty years after the first start, if that is later.
LATER = timedelta(days=25 * 365)
WHY = {EARLIER: "nothing can be issued now (The service's clock is before", LATER: "The issuer ended at"}
WRONG = pytest.mark.parametrize("wrong", list(WHY), ids=["earlier", "later"])


@WRONG
def test_a_service_that_starts_with_a_wrong_clock_issues_nothing_until_it_is_right(
    tmp_path: Path, wrong: timedelta
) -> None:
    clock_file = tmp_path / "clock"
    environment = turned_by(clock_file)
    # The authorities begin now.
    start_service(tmp_path / "data", key_reserve=0).terminate()
    clock_file.write_text(f"{wrong.total_seconds():+.0f}")
    options = ("--insecure-http",)
    with running_service(tmp_path / "data", *options, environment=environment, key_reserve=0) as service:
        turned = TurnedService(service, clock_file, wrong)
        assert_nothing_is_issued(turned, turned.create())
        turned.turn(timedelta(0))
        assert turned.create().status == 200
        assert turned.page("/readyz").status == 200
        service.wait_for_log("the active issuer is valid again")
        assert turned.page("/healthz").status == 200

    turned.turn(wrong)
    command = (
        *("issue", "--offline", "--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "out")),
        *("--count", "1", "--patience", "0"),
    )
    offline = run_thingmint(*command, environment=everything_turned_by(clock_file))
    assert offline.returncode == 1
    # No service was asked, so none is blamed.
    assert WHY[wrong] in offline.stderr
    assert not list((tmp_path / "out").glob("*.cert.pem"))
    turned.turn(timedelta(0))
    run_thingmint(*command, environment=everything_turned_by(clock_file), check=True)
    assert len(list((tmp_path / "out").glob("*.cert.pem"))) == 1


@WRONG
def test_a_certificate_that_a_wrong_clock_has_dated_is_replaced_when_the_clock_is_right(
    tmp_path: Path, wrong: timedelta
) -> None:
    clock_file = tmp_path / "clock"
    environment = turned_by(clock_file)
    start_service(tmp_path / "data", key_reserve=0).terminate()
    clock_file.write_text(f"{wrong.total_seconds():+.0f}")
    with running_service(tmp_path / "data", environment=environment, key_reserve=0) as service:
        assert not is_trusted(service)
        TurnedService(service, clock_file, wrong).turn(timedelta(0))
        while not is_trusted(service):
            time.sleep(0.1)  # a client has no other way to learn of that than to try


def is_trusted(service: Service) -> bool:
    """Return whether a client with the right time believes the server."""
    context = ssl.create_default_context(cafile=str(service.data_dir / "ca.pem"))
    with socket.create_connection(("127.0.0.1", service.endpoints.api_port)) as plain:
        try:
            context.wrap_socket(plain, server_hostname="localhost").close()
        except ssl.SSLCertVerificationError:
            return False
    return True
