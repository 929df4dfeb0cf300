"""Owns the bare references: what the library does on its own, without a server, in a process of its own."""

import datetime as dt
import itertools
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from thingmint.keys.generators import Engine, generators

NOT_AFTER = dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
ISSUER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Bare reference")])


def generate_key() -> None:
    """Generate one RSA-2048 key and forget it."""
    rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuing:
    """Load a signing request, verify it, build the certificate, sign it and encode it: nothing else."""

    def __init__(self, csr_pems: list[str]) -> None:
        self._csr_pems = itertools.cycle([pem.encode() for pem in csr_pems])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def __call__(self) -> None:
        """Issue one certificate with the extensions that the service's certificates have."""
        csr = x509.load_pem_x509_csr(next(self._csr_pems))
        if not csr.is_signature_valid:
            raise ValueError("the benchmark's own signing request is broken")
        public_key = csr.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(csr.subject)
            .issuer_name(ISSUER)
            .public_key(public_key)
            .serial_number(secrets.randbits(159))
            .not_valid_before(dt.datetime.now(dt.UTC) - dt.timedelta(seconds=120))
            .not_valid_after(NOT_AFTER)
            .add_extension(self._issuer_key_id, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(KEY_USAGE, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        certificate.public_bytes(Encoding.PEM)


KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def repeat(work: Callable[[], object], seconds: float, count: int) -> dict[str, Any]:
    """Repeat the work for a time, or a number of times if the time is 0, and return how long each took."""
    taken_ms: list[float] = []
    cpu_before = time.process_time()
    started = last = time.perf_counter()
    while (last - started < seconds) if seconds else (len(taken_ms) < count):
        work()
        now = time.perf_counter()
        taken_ms.append((now - last) * 1000)
        last = now
    return {"elapsed_s": last - started, "cpu_s": time.process_time() - cpu_before, "taken_ms": taken_ms}


# What a question may ask for, and what prepares it.
WORKS: Mapping[str, Callable[[dict[str, Any]], Callable[[], object]]] = {
    "issue": lambda question: Issuing(question["csr_pems"]),
    "keygen": lambda _: generate_key,
    "keygen-ifma": lambda _: generators(Engine.IFMA, 1)[0],
}


def main() -> None:
    """Answer questions until standard input ends."""
    for line in sys.stdin:
        question = json.loads(line)
        if question.get("pin"):
            os.sched_setaffinity(0, question["pin"])
        work = WORKS[question["work"]](question)
        work()  # warms up the library
        sys.stdout.write(json.dumps(repeat(work, question["seconds"], question["count"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
