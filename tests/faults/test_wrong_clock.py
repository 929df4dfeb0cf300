"""A service whose clock is before its authority began issues nothing, whoever asks, until the clock is right."""

import socket
import ssl
import subprocess
import time
from datetime import timedelta
from pathlib import Path

from tests.faults.test_clock_jumps import TurnedService, assert_nothing_is_issued, turning_library
from tests.support.required import require
from tests.support.service import Service, running_service, start_service, thingmint

EARLIER = timedelta(days=-400)


def test_a_service_that_starts_with_a_wrong_clock_issues_nothing_until_it_is_right(tmp_path: Path) -> None:
    library, clock_file = turning_library(), tmp_path / "clock"
    require(library, "libfaketime is not installed")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock_file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    # The authorities begin now.
    start_service(tmp_path / "data", key_reserve=0).terminate()
    clock_file.write_text(f"{EARLIER.total_seconds():+.0f}")
    options = ("--insecure-http",)
    with running_service(tmp_path / "data", *options, environment=environment, key_reserve=0) as service:
        turned = TurnedService(service, clock_file, EARLIER)
        assert_nothing_is_issued(turned, turned.create())
        turned.turn(timedelta(0))
        assert turned.create().status == 200
        assert turned.page("/readyz").status == 200
        while "the clock is right again" not in service.log:
            assert turned.page("/healthz").status == 200

    turned.turn(EARLIER)
    command = thingmint(
        *("issue", "--offline", "--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "out")),
        *("--count", "1", "--patience", "0"),
    )
    offline = subprocess.run(command, env=environment | {"PATH": ""}, capture_output=True, text=True, check=False)
    assert offline.returncode == 1
    assert "The service's clock is before" in offline.stderr
    assert not list((tmp_path / "out").glob("*.cert.pem"))
    turned.turn(timedelta(0))
    subprocess.run(command, env=environment | {"PATH": ""}, capture_output=True, check=True)
    assert len(list((tmp_path / "out").glob("*.cert.pem"))) == 1


def test_a_certificate_that_a_wrong_clock_has_dated_is_replaced_when_the_clock_is_right(tmp_path: Path) -> None:
    library, clock_file = turning_library(), tmp_path / "clock"
    require(library, "libfaketime is not installed")
    start_service(tmp_path / "data", key_reserve=0).terminate()
    clock_file.write_text(f"{EARLIER.total_seconds():+.0f}")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock_file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with running_service(tmp_path / "data", environment=environment, key_reserve=0) as service:
        assert not is_trusted(service)
        TurnedService(service, clock_file, EARLIER).turn(timedelta(0))
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
