"""Owns the figures of revocation lists: how long a list takes, and when a revocation is in it."""

import gc
import json
import secrets
import statistics
import time
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench import service
from bench.certificates import csr_pems
from bench.children import free_port
from bench.figures import ocsp
from bench.load import Caller, LoadGenerator
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, percentile, ratios
from bench.plan import CLIENTS, Run
from bench.service import csr_request
from bench.wire import Request
from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.authorities.trust_anchor import create_root_ca
from thingmint.issuance.revocation.crl import ListTerms, encode_entries, sign_list
from thingmint.signers.file_key import FileKeySigner

_HASH = hashes.SHA256()
_PARTS = 1024


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure OCSP, the building of a list, and revocations under load."""
    return [*ocsp.measure(run), _measure_list(run), _measure_revocations(run)]


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
