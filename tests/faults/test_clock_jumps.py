"""The wall clock jumps under a running service: requests are judged by the new time, and nothing runs wild."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from tests.support.machine.required import require
from tests.support.machine.wire import WireAnswer, answers, exchange
from tests.support.services.forked import run_thingmint
from tests.support.services.processes import busy_seconds
from tests.support.services.service import Service, running_service

from thingmint.data_directory.handover import read_credentials
from thingmint.issuance.authorities.issuing_ca import issuer_id_of
from thingmint.rest.sigv4.signature import Credentials, HttpRequest, sign

RESERVE = 4
JUMPS = {
    "twenty minutes ahead": timedelta(minutes=20),
    "three hours back": timedelta(hours=-3),
    "two days ahead": timedelta(days=2),
    "four hundred days back": timedelta(days=-400),
    "thirty years ahead": timedelta(days=30 * 365),
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the clock is turned by a library for Linux")


@dataclass
class TurnedService:
    """A service whose wall clock can be turned; its monotonic clock goes on, as a machine's does."""

    service: Service
    clock_file: Path
    ahead: timedelta = timedelta(0)

    def turn(self, ahead: timedelta) -> None:
        """Let the service's clock jump to this far ahead of the real one."""
        replacement = self.clock_file.with_suffix(".new")
        replacement.write_text(f"{ahead.total_seconds():+.0f}")
        replacement.rename(self.clock_file)
        self.ahead = ahead

    @property
    def now(self) -> datetime:
        """What the service takes for the present."""
        return datetime.now(UTC) + self.ahead

    def call(self, method: str, path: str, at: datetime) -> WireAnswer:
        """Return the answer to a request that is signed at this time."""
        credentials = read_credentials(self.service.data_dir)
        assert credentials is not None
        signer = Credentials(credentials.access_key_id, credentials.secret_access_key, None)
        headers = [(b"host", b"localhost"), (b"content-length", b"0"), (b"connection", b"close")]
        request = HttpRequest(method, path.encode(), b"", headers, b"")
        signed = [*headers, *sign(request, signer, self.service.endpoints.region, at)]
        lines = [f"{method} {path} HTTP/1.1".encode(), *(b"%b: %b" % pair for pair in signed), b"", b""]
        [answer] = answers(exchange(self.service.endpoints.api_port, b"\r\n".join(lines)))
        return answer

    def page(self, path: str) -> WireAnswer:
        """Return a page for those who watch the service."""
        lines = [f"GET {path} HTTP/1.1".encode(), b"host: localhost", b"connection: close", b"", b""]
        [answer] = answers(exchange(self.service.endpoints.api_port, b"\r\n".join(lines)))
        return answer

    def rotate(self, *options: str) -> str:
        """Rotate the issuer by the service's own time, and return the new issuer's id."""
        rotate = ("issuer", "rotate", "--data-dir", str(self.service.data_dir), *options)
        return run_thingmint(*rotate, environment=everything_turned_by(self.clock_file), check=True).stdout.split()[0]

    def create(self) -> WireAnswer:
        """Return the answer to CreateKeysAndCertificate, signed at the service's own time."""
        return self.call("POST", "/keys-and-certificate", self.now)


def assert_nothing_is_issued(turned: TurnedService, created: WireAnswer) -> None:
    """Assert that the service says in every way that its clock is wrong, or that its issuer has ended."""
    is_early = turned.ahead < timedelta(0)
    refused = (503, "ServiceUnavailableException") if is_early else (400, "InvalidRequestException")
    assert (created.status, created.headers["x-amzn-errortype"]) == refused
    for path in ("/keys-and-certificate", "/provisioning-templates/fleet/provisioning-claim"):
        assert turned.call("POST", path, turned.now).status >= 400
    assert turned.page("/readyz").status == (503 if is_early else 200)
    assert turned.page("/readyz/devices").status == 200
    assert ("the clock is wrong: nothing" if is_early else "the active issuer has ended") in turned.service.log


def turned_by(clock_file: Path) -> dict[str, str]:
    """Return the environment of a program whose clock is off by the seconds that the file holds."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
    require(library, "libfaketime is not installed")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock_file),
        "FAKETIME_NO_CACHE": "1",
        # The times of files are not asked for; to turn them takes a third of the time of a start.
        "NO_FAKE_STAT": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # For versions that know it by this name.
        "DONT_FAKE_MONOTONIC": "1",
    }


def everything_turned_by(clock_file: Path) -> dict[str, str]:
    """Return the environment of a command whose clock is off, without settings of this process."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    return own | turned_by(clock_file)


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnedService]:
    """A service whose clock is right until it is turned."""
    folder = tmp_path_factory.mktemp("clock")
    clock_file = folder / "clock"
    environment = turned_by(clock_file)
    clock_file.write_text("+0")
    with running_service(folder / "data", "--insecure-http", environment=environment, key_reserve=RESERVE) as service:
        yield TurnedService(service, clock_file)


@pytest.mark.parametrize("jump", list(JUMPS.values()), ids=list(JUMPS))
def test_clock_may_jump(turned: TurnedService, jump: timedelta) -> None:
    turned.turn(timedelta(0))
    assert turned.create().status == 200
    assert turned.page("/readyz").status == 200
    reserve_dropped = turned.service.log.count("its random state may have been copied")
    lines = turned.service.log.count("\n")

    turned.turn(jump)
    stale = turned.call("GET", "/endpoint", datetime.now(UTC))
    assert (stale.status, stale.headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")
    assert turned.call("GET", "/endpoint", turned.now).status == 200
    created = turned.create()
    if timedelta(days=-1) < jump < timedelta(days=20 * 365):
        assert created.status == 200
        certificate = x509.load_pem_x509_certificate(created.json["certificatePem"].encode())
        now = turned.now
        assert certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        assert now - certificate.not_valid_before_utc < timedelta(minutes=5)
    else:
        # The authorities ended long ago, or do not exist yet: there is no valid certificate to give.
        assert_nothing_is_issued(turned, created)
    # Keys from before the jump are given to nobody: a machine that was copied jumps, too.
    assert turned.service.log.count("its random state may have been copied") > reserve_dropped

    # No timer makes up for the time that was jumped over.
    assert busy_seconds(turned.service.process.pid, over=0.5) < 0.25
    assert turned.service.log.count("\n") - lines < 60
    assert turned.service.process.poll() is None

    turned.turn(timedelta(0))
    assert turned.create().status == 200
    assert turned.page("/readyz").status == 200


@dataclass
class Followed:
    """What a client has seen of the service: serial numbers of its certificates, and numbers of its lists."""

    turned: TurnedService
    serials: list[int] = field(default_factory=list)
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def issue(self, refused: int = 400) -> x509.Certificate | None:
        """Return another certificate; None if it is refused with this status."""
        created = self.turned.create()
        if created.status == refused:
            return None
        assert created.status == 200, created.body
        certificate = x509.load_pem_x509_certificate(created.json["certificatePem"].encode())
        self.serials.append(certificate.serial_number)
        return certificate

    def issues_with(self, issuer_id: str) -> bool:
        """Return whether another certificate is of this issuer; one that is issued is in its validity."""
        page, certificate = self.turned.page(f"/ca/{issuer_id}.pem"), self.issue()
        if page.status == 404:
            # The node does not know it yet.
            return False
        issuer = x509.load_pem_x509_certificate(page.body)
        return certificate is not None and certificate.issuer == issuer.subject

    def has_right_list(self, issuer_id: str) -> bool:
        """Return whether the issuer's list is dated by the present and has not ended; its number never falls."""
        page = self.turned.page(f"/crl/{issuer_id}.crl")
        if page.status == 404:
            return False
        found = x509.load_der_x509_crl(page.body)
        numbers = self.numbers.setdefault(issuer_id, [])
        numbers.append(found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert numbers == sorted(numbers)
        now = self.turned.now
        assert found.next_update_utc is not None
        return found.last_update_utc - timedelta(seconds=60) <= now < found.next_update_utc


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until that is so, for longer than a busy machine takes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)  # many conditions ask for a new key, which takes a tenth of a second to make


def test_nothing_remains_of_jumps_during_a_rotation(turned: TurnedService, tmp_path: Path) -> None:
    turned.turn(timedelta(0))
    seen = Followed(turned)
    first = issuer_id_of(x509.load_pem_x509_certificate(turned.page("/ca/all.pem").body))
    (profile := tmp_path / "profile.toml").write_text("validity_days = 7\n")
    wait_until(lambda: seen.issues_with(first) and seen.has_right_list(first))

    second = turned.rotate("--days", "30", "--profile", str(profile))
    # Past the end of the new issuer, while the node learns of it: there is no error of the service, only a refusal.
    turned.turn(timedelta(days=60))
    wait_until(lambda: seen.issue() is None)
    assert turned.page("/readyz").status == 200
    wait_until(lambda: seen.has_right_list(first))
    turned.turn(timedelta(0))
    wait_until(lambda: seen.issues_with(second))
    wait_until(lambda: seen.has_right_list(first) and seen.has_right_list(second))

    turned.turn(timedelta(hours=-1))
    wait_until(lambda: seen.issues_with(second))
    wait_until(lambda: seen.has_right_list(first) and seen.has_right_list(second))
    turned.turn(timedelta(0))
    wait_until(lambda: seen.issues_with(second) and seen.has_right_list(first) and seen.has_right_list(second))
    third = turned.rotate()
    wait_until(lambda: seen.issues_with(third) and seen.has_right_list(third))
    assert len(set(seen.serials)) == len(seen.serials)
