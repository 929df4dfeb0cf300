"""The most expensive bytes that anybody may send: to read them keeps the event loop for a moment only."""

from collections.abc import Callable
from contextlib import suppress

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.certificates.user_ca import der_of, new_ca
from tests.support.machine.turn_watch import TurnSelector, begin, run_watched

from thingmint.api.wire.reading.codec import decode_object
from thingmint.api.wire.reading.payloads import decode_payload
from thingmint.core.errors import ThingmintError
from thingmint.core.provisioning.registration_task import InputLine, line_parameters
from thingmint.core.topics.patterns import PayloadFormat
from thingmint.issuance.csr import load_csr
from thingmint.issuance.foreign.attributes import certificate_attributes
from thingmint.rest.sigv4.canonical import canonical_path, canonical_query

MIB, PAYLOAD = 1024 * 1024, 128 * 1024
Work = Callable[[], object]


def cbor_map_of_lists() -> Work:
    payload = b"\xa1\x61a\x9f" + b"\x80" * (PAYLOAD - 5) + b"\xff"
    return lambda: decode_payload(payload, PayloadFormat.CBOR)


def cbor_map_of_many_keys() -> Work:
    payload = cbor2.dumps({str(number): 1 for number in range(18_000)})
    return lambda: decode_payload(payload, PayloadFormat.CBOR)


def json_of_empty_objects() -> Work:
    body = b'{"a":[' + b"{}," * (MIB // 3 - 10) + b"{}]}"
    return lambda: decode_object(body)


def json_of_nested_lists() -> Work:
    body = b'{"a":' + b"[" * (MIB // 2) + b"]" * (MIB // 2) + b"}"
    return lambda: decode_object(body)


def json_of_one_number() -> Work:
    body = b'{"a":' + b"1" * MIB + b"}"
    return lambda: decode_object(body)


def line_of_many_members() -> Work:
    text = ("{" + ",".join(f'"{number}":""' for number in range(20_000)) + "}").encode()
    return lambda: line_parameters(InputLine(1, 0, len(text), text))


def certificate_of_many_alternative_names() -> Work:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "a") for _ in range(2_500)])
    names = x509.SubjectAlternativeName([x509.DirectoryName(name)])
    der = der_of(new_ca().issue(extensions=[(names, False)]))
    return lambda: certificate_attributes(der)


def signing_request_of_many_names() -> Work:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "a") for _ in range(3_000)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM).decode()
    return lambda: load_csr(pem)


def query_of_many_parameters() -> Work:
    query = b"&".join(b"%01" for _ in range(2_000))
    return lambda: canonical_query(query)


def path_of_many_segments() -> Work:
    return lambda: canonical_path(b"/%/." * 2_000)


READINGS: list[Callable[[], Work]] = [
    cbor_map_of_lists,
    cbor_map_of_many_keys,
    json_of_empty_objects,
    json_of_nested_lists,
    json_of_one_number,
    line_of_many_members,
    certificate_of_many_alternative_names,
    signing_request_of_many_names,
    query_of_many_parameters,
    path_of_many_segments,
]


@pytest.mark.parametrize("prepared", READINGS, ids=lambda each: each.__name__)
def test_to_read_the_most_expensive_bytes_is_a_short_turn(prepared: Callable[[], Work]) -> None:
    async def work(selector: TurnSelector) -> None:
        read = prepared()
        await begin(selector)
        with suppress(ThingmintError):
            read()

    run_watched(work)
