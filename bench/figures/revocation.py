"""Owns the figures of revocation: OCSP answers a core, how long a list takes, and when a revocation is in it."""

import gc
import json
import secrets
import socket
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from bench import openssl_responder, service
from bench.certificates import csr_pems
from bench.children import Server, free_port
from bench.load import Caller, LoadGenerator
from bench.machine import ForeignLoad, cores, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target, percentile, ratios
from bench.peers import PeerUnavailable
from bench.plain_http import exchange_kept_open, exchange_one_each, get_bytes, post_bytes
from bench.plan import CLIENTS, Run
from bench.service import Service, csr_request
from bench.wire import Request
from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.authorities.trust_anchor import create_root_ca
from thingmint.issuance.revocation.crl import ListTerms, encode_entries, sign_list
from thingmint.signers.file_key import FileKeySigner

_HASH = hashes.SHA256()
_KNOWN = 64
_PARTS = 1024


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure OCSP, the building of a list, and revocations under load."""
    return [*_measure_ocsp(run), _measure_list(run), _measure_revocations(run)]


# OCSP


def _measure_ocsp(run: Run) -> list[Measurement | Skipped]:
    core = cores()[0]
    # Plain HTTP for both: what is compared is what an answer costs behind the same edge.
    with service.running(run.directory / "ocsp", "--key-reserve", "0", "--insecure-http", core=core) as ours:
        certificates = _issued(ours, _KNOWN)
        issuer = x509.load_pem_x509_certificate(_fetched(ours, "/ca/all.pem"))  # the active one comes first
        port = ours.endpoint.port
        plain = [_status_request(issuer, each.serial_number) for each in certificates]
        count = run.plan.ocsp_answers
        cached = [post_bytes("/ocsp", each) for each in plain]
        pages = [get_bytes("/healthz")]
        nonces = [_status_request(issuer, certificates[0].serial_number, secrets.token_bytes(32)) for _ in range(count)]
        uncached = [post_bytes("/ocsp", each) for each in nonces]
        closing_ones = [post_bytes("/ocsp", each, keeps_open=False) for each in nonces]
        exchange_kept_open(port, [*cached, *pages, uncached[0]])  # warms up
        figures: dict[str, list[float]] = {name: [] for name in ("cached", "healthz", "uncached", "closing")}
        foreign = ForeignLoad()
        for _ in range(run.plan.ocsp_rounds):
            for name, exchange, requests in (
                ("healthz", exchange_kept_open, _repeated(pages, count)),
                ("cached", exchange_kept_open, _repeated(cached, count)),
                ("uncached", exchange_kept_open, uncached),
                ("closing", exchange_one_each, closing_ones),
            ):
                figures[name].append(_answers_per_core_s(ours.server.pid, exchange, port, requests))
        share = foreign.share()
    return [_cached_figure(figures, count, share), _uncached_figure(run, figures, count, core)]


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


def _uncached_figure(run: Run, figures: dict[str, list[float]], count: int, core: int) -> Measurement | Skipped:
    figure, title = "ocsp-openssl", "OCSP answers signed anew, a core and second ÷ OpenSSL's responder"
    numbers = tuple(secrets.randbits(158) for _ in range(_KNOWN))
    try:
        with openssl_responder.running(run.directory / "openssl", numbers, core) as peer:
            asked = [_status_request(peer.ca, numbers[0], secrets.token_bytes(32)) for _ in range(count)]
            requests = [post_bytes("/", each, keeps_open=False) for each in asked]
            exchange_one_each(peer.port, requests[:10])  # warms up
            foreign = ForeignLoad()
            theirs = [
                _answers_per_core_s(peer.server.pid, exchange_one_each, peer.port, requests)
                for _ in range(run.plan.ocsp_rounds)
            ]
            share = foreign.share()
            library = _library_alone(run, asked, core)
    except PeerUnavailable as unavailable:
        return Skipped(figure, title, str(unavailable))
    rounds = ratios(figures["uncached"], theirs)
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
            "thingmint_per_core_s": statistics.median(figures["uncached"]),
            "thingmint_one_connection_each_per_core_s": statistics.median(figures["closing"]),
            "openssl_per_core_s": statistics.median(theirs),
            "one_connection_each_ratio": statistics.median(figures["closing"]) / statistics.median(theirs),
            "library_alone_per_core_s": statistics.median(library),
            "library_alone_ratio": statistics.median(ratios(library, theirs)),
            "of_library_alone": statistics.median(ratios(figures["uncached"], library)),
        },
        foreign_share=share,
    )


def _library_alone(run: Run, asked: Sequence[bytes], core: int) -> list[float]:
    """Return the answers a core and second of a program that has nothing but the libraries."""
    port = free_port()
    command = [sys.executable, "-m", "bench.library_responder", str(port)]
    server = Server(command, run.directory / "library.log", core=core)
    try:
        server.wait_until(lambda: _listens(port))
        requests = [post_bytes("/", each) for each in asked]
        exchange_kept_open(port, requests[:10])  # warms up
        return [
            _answers_per_core_s(server.pid, exchange_kept_open, port, requests) for _ in range(run.plan.ocsp_rounds)
        ]
    finally:
        server.stop()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers_per_core_s(
    pid: int, exchange: Callable[[int, Iterable[bytes]], int], port: int, requests: Iterable[bytes]
) -> float:
    before = tree_cpu_s(pid)
    count = exchange(port, requests)
    return count / (tree_cpu_s(pid) - before)


def _repeated(requests: Sequence[bytes], count: int) -> list[bytes]:
    return [requests[number % len(requests)] for number in range(count)]


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


# Lists


def _measure_list(run: Run) -> Measurement:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC).replace(microsecond=0)
    ca = IssuingCA(create_root_ca(key, SerialNumber(1 << 100), now), FileKeySigner(key))
    entries = run.plan.list_entries
    revocations = [
        Revocation(
            ca.issuer_id,
            SerialNumber(secrets.randbits(158)),
            RevocationReason.KEY_COMPROMISE,
            now,
            now + timedelta(days=9),
        )
        for _ in range(entries)
    ]
    terms = ListTerms(1, now, now + timedelta(days=1))
    mine, theirs, again = [], [], []
    octets = memory = 0
    foreign = ForeignLoad()
    for _ in range(run.plan.list_rounds):
        gc.collect()
        began = time.process_time()
        parts = _encoded(revocations)
        der = _at_once(ca, terms, parts)
        mine.append(time.process_time() - began)
        began = time.process_time()
        der = _at_once(ca, terms, parts)
        again.append(time.process_time() - began)
        octets, memory = len(der), sum(map(len, parts))
        began = time.process_time()
        _built_by_the_library(ca, terms, revocations, key)
        theirs.append(time.process_time() - began)
    rounds = ratios(mine, theirs)
    return Measurement(
        figure="crl-build",
        title=f"a revocation list of {entries} entries ÷ cryptography's builder alone",
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_MOST, 1.5),
        rounds=rounds,
        n=f"{len(rounds)} rounds of {entries} entries with a reason",
        sides="both: processor time from revocations to signed DER, P-256; service: entries encoded part by part",
        parts={
            "thingmint_s": statistics.median(mine),
            "library_s": statistics.median(theirs),
            "after_one_change_ms": statistics.median(again) * 1000,
            "octets": octets,
            "octets_of_entries_in_memory": memory,
        },
        foreign_share=foreign.share(),
    )


def _encoded(revocations: Sequence[Revocation]) -> list[bytes]:
    parts: dict[int, list[Revocation]] = {}
    for each in revocations:
        parts.setdefault(each.serial_number % _PARTS, []).append(each)
    return [encode_entries(part) for part in parts.values()]


def _at_once(ca: IssuingCA, terms: ListTerms, parts: list[bytes]) -> bytes:
    signing = sign_list(ca, terms, parts)
    try:
        signing.send(None)
    except StopIteration as ended:
        der: bytes = ended.value
        return der
    raise RuntimeError("the signature waits")


def _built_by_the_library(
    ca: IssuingCA, terms: ListTerms, revocations: Sequence[Revocation], key: ec.EllipticCurvePrivateKey
) -> bytes:
    entries = [
        x509.RevokedCertificateBuilder()
        .serial_number(each.serial_number)
        .revocation_date(each.revoked_at)
        .add_extension(x509.CRLReason(x509.ReasonFlags(each.reason.word)), critical=False)
        .build()
        for each in revocations
    ]
    # All entries at once: adding them one by one copies the list each time, which takes ten times as long.
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=ca.certificate.subject,
        last_update=terms.this_update.replace(tzinfo=None),
        next_update=terms.next_update.replace(tzinfo=None),
        extensions=[],
        revoked_certificates=entries,
    )
    return builder.sign(key, _HASH).public_bytes(serialization.Encoding.DER)


# Revocations under load


def _measure_revocations(run: Run) -> Measurement:
    seconds: list[float] = []
    with (
        service.running(
            run.directory / "revoked", "--key-reserve", "0", "--public", f"127.0.0.1:{free_port()}"
        ) as ours,
        LoadGenerator() as issuer,
        closing(Caller(ours.endpoint)) as caller,
    ):
        public = json.loads((ours.data_directory / "endpoints.json").read_text())["public"]
        pems = list(csr_pems())
        made = [caller.json(csr_request(pems[number % len(pems)])) for number in range(run.plan.listed_revocations)]
        issuer_id = _issuer_ids(public)[0]
        foreign = ForeignLoad()
        # Longer than it takes: the issuing clients must not be done before the last revocation.
        issuer.begin_load(
            ours.endpoint,
            [csr_request(pem) for pem in pems],
            clients=CLIENTS,
            seconds=run.plan.listed_revocations * 1.2 + 2,
        )
        for each in made:
            number = x509.load_pem_x509_certificate(str(each["certificatePem"]).encode()).serial_number
            caller.text(Request("PUT", f"/certificates/{each['certificateId']}", "newStatus=REVOKED"))
            began = time.perf_counter()
            while _entry(public, issuer_id, number) is None:
                time.sleep(0.01)
            seconds.append(time.perf_counter() - began)
        load = issuer.finish_load()
        share = foreign.share()
    return Measurement(
        figure="crl-delay",
        title="revocation acknowledged until it is in the list, p99, 16 clients issue",
        value=percentile(seconds, 0.99),
        unit="s",
        target=Target(Bound.AT_MOST, 1.5),
        rounds=tuple(seconds),
        n=f"{len(seconds)} revocations, one after the other; {load.count} certificates issued meanwhile",
        sides="the list is fetched over plain HTTP every 10 ms",
        parts={"p50_s": statistics.median(seconds), "longest_s": max(seconds), "issued_per_s": load.per_s},
        foreign_share=share,
    )


def _issuer_ids(public: str) -> list[str]:
    with urllib.request.urlopen(f"{public}/ca/all.pem") as answer:
        return [each.fingerprint(_HASH).hex() for each in x509.load_pem_x509_certificates(answer.read())]


def _entry(public: str, issuer_id: str, number: int) -> x509.RevokedCertificate | None:
    with urllib.request.urlopen(f"{public}/crl/{issuer_id}.crl") as answer:
        return x509.load_der_x509_crl(answer.read()).get_revoked_certificate_by_serial_number(number)
