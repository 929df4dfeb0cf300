"""Owns the figures of OCSP: answers a core and second, from the cache and signed anew, against OpenSSL's responder."""

import secrets
import socket
import statistics
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from bench import openssl_responder, service
from bench.certificates import csr_pems
from bench.children import Server, free_port
from bench.load import Caller
from bench.machine import ForeignLoad, cores, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.peers import PeerUnavailable
from bench.plain_http import exchange_kept_open, exchange_one_each, get_bytes, post_bytes
from bench.plan import Run, rotated
from bench.service import Service, csr_request

T = TypeVar("T")

_KNOWN = 64


class _Side(NamedTuple):
    """A server's process and port, and what one client asks it."""

    pid: int
    port: int
    exchange: Callable[[int, Iterable[bytes]], int]
    requests: Sequence[bytes]

    def answers_per_core_s(self) -> float:
        """Ask everything once."""
        before = tree_cpu_s(self.pid)
        count = self.exchange(self.port, self.requests)
        return count / (tree_cpu_s(self.pid) - before)


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure all sides in turns, on one core."""
    core, count = cores()[0], run.plan.ocsp_answers
    missing = ""
    with ExitStack() as stack:
        # Plain HTTP for both: what is compared is what an answer costs behind the same edge.
        options = ("--key-reserve", "0", "--insecure-http")
        ours = stack.enter_context(service.running(run.directory / "ocsp", *options, core=core))
        sides = _sides_of_service(ours, count)
        try:
            sides |= _peers(stack, run, core)
        except PeerUnavailable as unavailable:
            missing = str(unavailable)
        for each in sides.values():
            each.exchange(each.port, each.requests[: 2 * _KNOWN])  # warms up
        figures: dict[str, list[float]] = {name: [] for name in sides}
        foreign = ForeignLoad()
        for round_number in range(run.plan.ocsp_rounds):
            for name in rotated(list(sides), round_number):
                figures[name].append(sides[name].answers_per_core_s())
        share = foreign.share()
    return [_cached_figure(figures, count, share), _uncached_figure(figures, count, share, missing)]


def _sides_of_service(ours: Service, count: int) -> dict[str, _Side]:
    certificates = _issued(ours, _KNOWN)
    issuer = x509.load_pem_x509_certificate(_fetched(ours, "/ca/all.pem"))  # the active one comes first
    cached = [post_bytes("/ocsp", _status_request(issuer, each.serial_number)) for each in certificates]
    asked = [
        _status_request(issuer, each.serial_number, secrets.token_bytes(32)) for each in _repeated(certificates, count)
    ]
    pid, port = ours.server.pid, ours.endpoint.port
    return {
        "healthz": _Side(pid, port, exchange_kept_open, _repeated([get_bytes("/healthz")], count)),
        "cached": _Side(pid, port, exchange_kept_open, _repeated(cached, count)),
        "uncached": _Side(pid, port, exchange_kept_open, [post_bytes("/ocsp", each) for each in asked]),
        "closing": _Side(pid, port, exchange_one_each, [post_bytes("/ocsp", each, keeps_open=False) for each in asked]),
    }


def _peers(stack: ExitStack, run: Run, core: int) -> dict[str, _Side]:
    """Return OpenSSL's responder, and the libraries alone; raise PeerUnavailable."""
    numbers = tuple(secrets.randbits(158) for _ in range(_KNOWN))
    peer = stack.enter_context(openssl_responder.running(run.directory / "openssl", numbers, core))
    library, port = stack.enter_context(_library_alone(run.directory, core))
    asked = [
        _status_request(peer.ca, number, secrets.token_bytes(32))
        for number in _repeated(numbers, run.plan.ocsp_answers)
    ]
    closing_ones = [post_bytes("/", each, keeps_open=False) for each in asked]
    return {
        "openssl": _Side(peer.server.pid, peer.port, exchange_one_each, closing_ones),
        "library": _Side(library.pid, port, exchange_kept_open, [post_bytes("/", each) for each in asked]),
    }


@contextmanager
def _library_alone(directory: Path, core: int) -> Iterator[tuple[Server, int]]:
    """Run the program that has nothing but the libraries; yield it and its port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.library_responder", str(port)]
    server = Server(command, directory / "library.log", core=core)
    try:
        server.wait_until(lambda: _listens(port))
        yield server, port
    finally:
        server.stop()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _cached_figure(figures: dict[str, list[float]], count: int, share: float) -> Measurement:
    rounds = ratios(figures["cached"], figures["healthz"])
    return Measurement(
        figure="ocsp-cached",
        title="OCSP answers from the cache, a core and second ÷ /healthz",
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, 0.7),
        rounds=rounds,
        n=f"{len(rounds)} rounds of {count} answers each, one client, {_KNOWN} certificates",
        sides="both: the same service and port, plain HTTP keep-alive, processor time of the service",
        parts={
            "cached_per_core_s": statistics.median(figures["cached"]),
            "healthz_per_core_s": statistics.median(figures["healthz"]),
        },
        foreign_share=share,
    )


def _uncached_figure(figures: dict[str, list[float]], count: int, share: float, missing: str) -> Measurement | Skipped:
    figure, title = "ocsp-openssl", "OCSP answers signed anew, a core and second ÷ OpenSSL's responder"
    if missing:
        return Skipped(figure, title, missing)
    uncached, theirs, library = figures["uncached"], figures["openssl"], figures["library"]
    rounds = ratios(uncached, theirs)
    return Measurement(
        figure=figure,
        title=title,
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_LEAST, 1.0),
        rounds=rounds,
        n=f"{len(rounds)} rounds of {count} answers each, one client, a nonce in each request",
        sides=(
            "both: plain HTTP, P-256, delegated key, processor time of the server; service: keep-alive, status read "
            "from SQLite; OpenSSL: one connection for each request, which is all it can, status from an index in "
            "memory; library alone: keep-alive, uvloop, httptools, `cryptography`; no registry, limits and checks"
        ),
        parts={
            "thingmint_per_core_s": statistics.median(uncached),
            "thingmint_one_connection_each_per_core_s": statistics.median(figures["closing"]),
            "openssl_per_core_s": statistics.median(theirs),
            "one_connection_each_ratio": statistics.median(ratios(figures["closing"], theirs)),
            "library_alone_per_core_s": statistics.median(library),
            "library_alone_ratio": statistics.median(ratios(library, theirs)),
            "of_library_alone": statistics.median(ratios(uncached, library)),
        },
        foreign_share=share,
    )


def _repeated(items: Sequence[T], count: int) -> list[T]:
    return [items[number % len(items)] for number in range(count)]


def _status_request(issuer: x509.Certificate, number: int, nonce: bytes | None = None) -> bytes:
    name, key = hashes.Hash(hashes.SHA1()), x509.SubjectKeyIdentifier.from_public_key(_ec_key(issuer)).digest
    name.update(issuer.subject.public_bytes())
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name.finalize(), key, number, hashes.SHA1())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


def _ec_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def _issued(ours: Service, count: int) -> list[x509.Certificate]:
    pems = list(csr_pems())
    with closing(Caller(ours.endpoint)) as caller:
        answers = [caller.json(csr_request(pems[number % len(pems)])) for number in range(count)]
    return [x509.load_pem_x509_certificate(str(each["certificatePem"]).encode()) for each in answers]


def _fetched(ours: Service, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{ours.endpoint.port}{path}") as answer:
        content: bytes = answer.read()
    return content
