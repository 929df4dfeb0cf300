"""Revocation lists and OCSP under faults: fuzzed requests, kills, a full disk, a clock that jumps."""

import base64
import contextlib
import http.client
import random
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import apsw
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from tests.faults.test_clock_jumps import turned_by
from tests.support.certificates.revocation import new_publisher, new_registry
from tests.support.databases.faulty_disk import FaultyDisk
from tests.support.databases.stores import Timings
from tests.support.services.published import Published, publishing_service, until
from tests.support.services.service import running_service
from tests.support.services.small_disk import fill, small_disk  # noqa: F401  a fixture is found by name

from thingmint.cli.connection import ServiceRefused
from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ServiceUnavailable
from thingmint.storage.sqlite.store import open_sqlite

CASES = 2_000


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    with publishing_service(tmp_path_factory.mktemp("faults")) as found:
        yield found


def number_of(listed: x509.CertificateRevocationList) -> int:
    return listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def damaged(request: bytes, chance: random.Random) -> bytes:
    """Return the request with something wrong in it, most of the time."""
    octets = bytearray(request)
    match chance.randrange(6):
        case 0:
            return chance.randbytes(chance.randrange(300))
        case 1:
            return bytes(octets[: chance.randrange(len(octets))])
        case 2:
            octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
        case 3:
            place = chance.randrange(len(octets))
            octets[place:place] = chance.randbytes(chance.randrange(1, 20))
        case 4:
            start = chance.randrange(len(octets))
            del octets[start : start + chance.randrange(1, 20)]
        case _:
            for _ in range(chance.randrange(2, 12)):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
    return bytes(octets)


def test_damaged_requests_are_answered_by_ocsp_and_never_by_a_fault(published: Published) -> None:
    device, (issuer, *_) = published.device("fuzzed"), published.issuers
    builder = ocsp.OCSPRequestBuilder().add_certificate(device.certificate, issuer, hashes.SHA1())
    request = builder.add_extension(x509.OCSPNonce(bytes(32)), critical=False).build()
    whole, chance = request.public_bytes(serialization.Encoding.DER), random.Random(6960)
    parts = urllib.parse.urlsplit(published.url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    found = set()
    for case in range(CASES):
        body = damaged(whole, chance)
        if case % 2:
            connection.request("POST", "/ocsp", body)
        else:
            connection.request("GET", "/ocsp/" + urllib.parse.quote(base64.b64encode(body), safe=""))
        answered = connection.getresponse()
        content = answered.read()
        assert answered.status == 200, (case, body.hex())
        response = ocsp.load_der_ocsp_response(content)
        found.add(response.response_status)
        if not is_readable(body):
            assert response.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST, (case, body.hex())
    connection.close()

    # Some damage makes another request: about another number, or about an issuer that is not known.
    assert found == {
        ocsp.OCSPResponseStatus.SUCCESSFUL,
        ocsp.OCSPResponseStatus.MALFORMED_REQUEST,
        ocsp.OCSPResponseStatus.UNAUTHORIZED,
    }


def is_readable(request: bytes) -> bool:
    """Return whether another reader takes it for a request."""
    try:
        ocsp.load_der_ocsp_request(request)
    except ValueError:
        return False
    return True


def test_a_request_that_is_too_large_is_refused(published: Published) -> None:
    assert published.fetch("/ocsp", bytes(5_000)).status == 413


def test_the_api_serves_the_same_lists(published: Published) -> None:
    path = f"/crl/{published.issuer_id}.crl"
    api = published.service.endpoints.api
    context = ssl.create_default_context(cafile=published.service.endpoints.ca_file)
    with urllib.request.urlopen(api + path, context=context) as answer:
        over_tls = answer.read()

    assert x509.load_der_x509_crl(over_tls) == published.crl()


def test_after_kill_9_lists_go_on_with_higher_numbers(tmp_path: Path) -> None:
    with publishing_service(tmp_path / "killed") as published:
        device = published.device("device")
        published.set_status(device, "REVOKED")
        published.service.kill()
    with publishing_service(tmp_path / "killed") as again:
        # What was acknowledged before the kill is in a list, whether or not one was written in time.
        until(lambda: again.listed(device))
        first = number_of(again.crl())
        again.set_status(again.device("another"), "REVOKED")
        until(lambda: len(again.crl()) == 2)
        assert number_of(again.crl()) > first


def test_on_a_full_disk_the_list_stays_and_it_follows_when_there_is_room(small_disk: Path) -> None:  # noqa: F811  the fixture
    with publishing_service(small_disk / "data") as published:
        device = published.device("device")
        before = published.crl()
        ballast = small_disk / "ballast"
        fill(ballast)
        until(lambda: is_refused(published))
        assert published.crl() == before
        ballast.unlink()
        published.set_status(device, "REVOKED")
        until(lambda: published.listed(device))


def is_refused(published: Published) -> bool:
    """Make a certificate, which needs room; return whether there is none any more."""
    try:
        published.client.call("POST", "/keys-and-certificate", {"setAsActive": "true"})
    except ServiceRefused as refused:
        return refused.status == 503
    return False


@pytest.mark.parametrize("fault", [{"writes": apsw.FullError}, {"syncs": apsw.IOError}])
async def test_a_list_that_the_disk_does_not_take_is_written_when_it_does(
    tmp_path: Path, fault: dict[str, type[apsw.Error]]
) -> None:
    disk = FaultyDisk()
    store = await open_sqlite(tmp_path / "faulty.sqlite", observe=Timings(), vfs=disk.name)
    registry = new_registry(store)
    publishing = new_publisher(registry)
    (certificate,) = await registry.add(5)
    before = await publishing.listed(registry.name)
    await registry.set(certificate, CertificateStatus.REVOKED)
    with disk.failing(**fault):
        for _ in range(3):
            # It raises unless the list was all that could not be stored.
            with contextlib.suppress(ServiceUnavailable):
                await publishing.publisher.turn()
            assert publishing.now_listed(registry.name) == before
    assert disk.faults >= 3

    assert await publishing.numbers(registry.name) == {5}
    await store.close()


def test_a_start_with_a_clock_that_is_far_ahead_forgets_no_revocation(tmp_path: Path) -> None:
    clock_file = tmp_path / "clock"
    clock_file.write_text("+0")
    environment = turned_by(clock_file)
    with publishing_service(tmp_path / "ahead", environment=environment) as published:
        revoked, deleted, others = published.device("revoked"), published.device("deleted"), published.device("other")
        published.revoke(revoked, "keyCompromise")
        published.revoke(deleted, "keyCompromise")
        published.client.call("DELETE", f"/certificates/{deleted.created.certificate_id}", {})
        # The newest row always stays.
        published.revoke(others, "keyCompromise")
        until(lambda: published.listed(others))
    clock_file.write_text(f"{timedelta(days=365 * 40).total_seconds():+.0f}")
    # A start sweeps what has ended.
    with running_service(tmp_path / "ahead" / "data", environment=environment, key_reserve=0) as service:
        service.wait_for_log("the active issuer has ended, or the clock is wrong")
        time.sleep(1)  # nothing tells that a sweep is over
    clock_file.write_text("+0")
    with publishing_service(tmp_path / "ahead", environment=environment) as published:
        for device in (revoked, deleted, others):
            assert published.listed(device)


def test_lists_follow_a_clock_that_jumps(tmp_path: Path) -> None:
    clock_file = tmp_path / "clock"

    def turn(ahead: timedelta) -> None:
        replacement = clock_file.with_suffix(".new")
        replacement.write_text(f"{ahead.total_seconds():+.0f}")
        replacement.rename(clock_file)

    def is_dated(published: Published, ahead: timedelta) -> bool:
        return abs(published.crl().last_update_utc - datetime.now(UTC) - ahead) < timedelta(hours=1)

    turn(timedelta(0))
    with publishing_service(tmp_path / "turned", environment=turned_by(clock_file)) as published:
        numbers = [number_of(published.crl())]
        for ahead in (timedelta(days=90), timedelta(0)):
            turn(ahead)
            until(partial(is_dated, published, ahead))
            numbers.append(number_of(published.crl()))
        assert numbers == sorted(set(numbers))
        # The issuer is not valid yet, and then not any more: the last list stays.
        right = published.crl()
        for ahead in (timedelta(days=-400), timedelta(days=365 * 40)):
            turn(ahead)
            assert published.fetch("/crl/all.pem").status == 200
            assert published.crl() == right
