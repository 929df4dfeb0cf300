"""A service whose clock is before its authority began issues nothing, whoever asks, until the clock is right."""

import subprocess
from datetime import timedelta
from pathlib import Path

from tests.faults.test_clock_jumps import TurnedService, assert_nothing_is_issued, turning_library
from tests.support.required import require
from tests.support.service import running_service, start_service, thingmint

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
