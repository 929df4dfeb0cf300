"""What anyone may fetch: paths, forms, caching, conditions, and what becomes of wrong requests."""

import base64
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from prometheus_client import CollectorRegistry
from tests.support.certificates.revocation import CALLER, Registry, new_registry
from tests.support.registration.authority import NOW, new_issuing_ca
from tests.support.services.recorded_log import RecordedLog

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.certificates.revocation_list import ListName, ListState
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.revocation.ocsp import issuer_names
from thingmint.public.addresses import addresses_below, certificate_path, list_path, root_addresses_below
from thingmint.public.application import PublicApplication
from thingmint.public.metrics import RevocationMetrics
from thingmint.registration.revocation.published import PublishedLists
from thingmint.registration.revocation.publisher import Publisher
from thingmint.registration.revocation.responders import Responders
from thingmint.registration.revocation.status import StatusService
from thingmint.registration.revocation.terms import CRLIssuer, RevocationTerms

Headers = dict[str, str]


@dataclass
class Answered:
    """A response."""

    status: int
    headers: Headers
    body: bytes


@dataclass
class Site:
    """A registry of one revoked certificate (number 6) and one that is not (5), and what it publishes."""

    registry: Registry
    publisher: Publisher
    application: PublicApplication
    metrics: RevocationMetrics
    other: IssuingCA
    asked: list[str] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, headers: Headers | None = None, body: Iterable[bytes] = (b"",)
    ) -> Answered:
        """Return the response."""
        sent: list[Any] = []
        parts = list(body)

        async def receive() -> dict[str, object]:
            if not parts:
                return {"type": "http.disconnect"}
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: object) -> None:
            sent.append(message)

        given = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {"type": "http", "method": method, "raw_path": path.encode(), "headers": given}
        await self.application(scope, receive, send)
        start, content = sent
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answered(start["status"], found, content["body"])

    def request(self, number: int) -> bytes:
        """Return an OCSP request about a serial number."""
        names = issuer_names(self.registry.ca)[0]
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(*names[1:], number, hashes.SHA1())
        return builder.build().public_bytes(serialization.Encoding.DER)


@pytest.fixture
async def site() -> Site:
    registry, other = new_registry(), new_issuing_ca()
    metrics = RevocationMetrics(CollectorRegistry())
    crl_issuers = (CRLIssuer(registry.ca), CRLIssuer(other))
    terms, lists = RevocationTerms(), PublishedLists(metrics.list_given_out)
    responders = Responders(registry.authority, CALLER.scope)
    status = StatusService(registry.authority, lambda: crl_issuers, responders, terms, metrics)
    log = RecordedLog()
    publisher = Publisher(
        registry.authority, lists, lambda: crl_issuers, terms, "node", status.forget, metrics, log, seconds=lambda: 0.0
    )
    await registry.add(5)
    await registry.add(6, status=CertificateStatus.INACTIVE)
    await publisher.turn()
    application = PublicApplication(registry.clock, lambda: crl_issuers, lists, status)
    return Site(registry, publisher, application, metrics, other)


# Certificates and lists


async def test_certificates_are_there_in_both_forms(site: Site) -> None:
    issuer = site.registry.ca
    der = await site.ask("GET", certificate_path(issuer.issuer_id))
    pem = await site.ask("GET", certificate_path(issuer.issuer_id).replace(".cer", ".pem"))
    everyone = await site.ask("GET", "/ca/all.pem")

    assert der.headers["content-type"] == "application/pkix-cert"
    assert x509.load_der_x509_certificate(der.body) == issuer.certificate
    assert x509.load_pem_x509_certificates(pem.body) == [issuer.certificate]
    assert x509.load_pem_x509_certificates(everyone.body) == [issuer.certificate, site.other.certificate]
    assert everyone.headers["content-type"] == "application/x-pem-file"
    assert "expires" not in everyone.headers


async def test_lists_are_there_in_both_forms(site: Site) -> None:
    path = list_path(site.registry.name)
    der = await site.ask("GET", path)
    pem = await site.ask("GET", path.replace(".crl", ".pem"))
    everyone = await site.ask("GET", "/crl/all.pem")

    listed = x509.load_der_x509_crl(der.body)
    assert der.headers["content-type"] == "application/pkix-crl"
    assert [each.serial_number for each in listed] == [6]
    assert x509.load_pem_x509_crl(pem.body) == listed
    assert everyone.body.count(b"BEGIN X509 CRL") == 2
    assert everyone.body.startswith(pem.body)
    assert everyone.headers["etag"] not in (pem.headers["etag"], der.headers["etag"])


@pytest.mark.parametrize(
    "path",
    [
        "/ca",
        "/ca/all.cer",
        f"/ca/{'0' * 64}.cer",
        "/ca/../etc/passwd",
        "/crl/all.crl",
        "/crl/all/2-1.pem",
        f"/crl/{'0' * 64}.crl",
        f"/crl/{'0' * 64}/0-0.crl",
        f"/crl/{'0' * 64}/2-1.crl",
        f"/crl/{'0' * 64}/9999-1.crl",
        f"/crl/{'A' * 64}.crl",
        "/crl/",
    ],
)
async def test_nothing_else_is_there(site: Site, path: str) -> None:
    answered = await site.ask("GET", path)

    assert answered.status == 404
    assert answered.headers["cache-control"] == "no-store"


async def test_lists_that_are_not_written_yet_are_not_there(site: Site) -> None:
    site.application.lists._lists.clear()

    assert (await site.ask("GET", "/crl/all.pem")).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_they_can_only_be_read(site: Site, method: str) -> None:
    answered = await site.ask(method, "/crl/all.pem")

    assert (answered.status, answered.headers["allow"]) == (405, "GET, HEAD")


async def test_head_tells_what_get_would_and_gives_nothing(site: Site) -> None:
    for path in ("/crl/all.pem", "/ca/all.pem", "/nothing"):
        get, head = await site.ask("GET", path), await site.ask("HEAD", path)
        assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
        assert head.headers["content-length"] == str(len(get.body))


async def test_responses_can_be_cached_until_the_list_ends(site: Site) -> None:
    headers = (await site.ask("GET", list_path(site.registry.name))).headers
    assert headers["cache-control"] == "max-age=60, public, no-transform, must-revalidate"
    assert headers["last-modified"] == "Wed, 04 Mar 2026 05:06:07 GMT"
    assert headers["expires"] == "Thu, 05 Mar 2026 05:06:07 GMT"
    site.registry.clock.go(hours=23, minutes=59, seconds=29)
    near = (await site.ask("GET", list_path(site.registry.name))).headers
    site.registry.clock.go(hours=1)
    ended = (await site.ask("GET", list_path(site.registry.name))).headers

    assert near["cache-control"].startswith("max-age=30,")
    assert ended["cache-control"].startswith("max-age=0,")


async def test_conditions_are_heard(site: Site) -> None:
    path = list_path(site.registry.name)
    first = await site.ask("GET", path)
    tag, date = first.headers["etag"], first.headers["last-modified"]

    async def status(**conditions: str) -> int:
        named = {name.replace("_", "-"): value for name, value in conditions.items()}
        answered = await site.ask("GET", path, named)
        if answered.status == 304:
            assert answered.body == b""
            assert answered.headers["etag"] == tag
            assert "content-length" not in answered.headers
        return answered.status

    assert await status(if_none_match=tag) == 304
    assert await status(if_none_match=f'"other", W/{tag}') == 304
    assert await status(if_none_match="*") == 304
    assert await status(if_modified_since=date) == 304
    assert await status(if_modified_since="Wed, 04 Mar 2026 05:06:08 -0000") == 304
    assert await status(if_modified_since="Wed, 04 Mar 2026 05:06:06 GMT") == 200
    assert await status(if_modified_since="yesterday") == 200
    assert await status(if_modified_since="Wed, 99 Mar 2026 05:06:06 GMT") == 200
    for date_beyond in (f"Wed, 04 Mar {'9' * 20} 05:06:06 GMT", f"Wed, 04 Mar 2026 05:06:06 +{'9' * 20}"):
        assert await status(if_modified_since=date_beyond) == 200
    # RFC 9110, 13.1.3: the tag counts where both are given.
    assert await status(if_none_match='"other"', if_modified_since=date) == 200
    await site.registry.add(7, status=CertificateStatus.INACTIVE)
    await site.publisher.turn()
    assert await status(if_none_match=tag) == 200


# OCSP


def status_of(answered: Answered) -> ocsp.OCSPCertStatus:
    assert answered.status == 200
    assert answered.headers["content-type"] == "application/ocsp-response"
    return ocsp.load_der_ocsp_response(answered.body).certificate_status


async def test_the_status_is_told_by_post_and_get(site: Site) -> None:
    request = site.request(5)
    encoded = base64.b64encode(request).decode()
    posted = await site.ask("POST", "/ocsp", body=[request[:10], request[10:]])
    slash = await site.ask("POST", "/ocsp/", body=[request])
    quoted = await site.ask("GET", f"/ocsp/{urllib.parse.quote(encoded, safe='')}")
    plain = await site.ask("GET", f"/ocsp/{encoded}")

    assert {status_of(each) for each in (posted, slash, quoted, plain)} == {ocsp.OCSPCertStatus.GOOD}
    assert quoted.headers == plain.headers == posted.headers
    assert plain.headers["cache-control"] == "max-age=60, public, no-transform, must-revalidate"
    assert plain.headers["expires"] == "Wed, 04 Mar 2026 06:06:07 GMT"
    again = await site.ask("GET", f"/ocsp/{encoded}", {"if-none-match": plain.headers["etag"]})
    assert again.status == 304
    head = await site.ask("HEAD", f"/ocsp/{encoded}")
    assert (head.status, head.body, head.headers) == (200, b"", plain.headers)


@pytest.mark.parametrize("path", ["/ocsp/", "/ocsp/%%%", "/ocsp/aGVsbG8=", "/ocsp/%ff", "/ocsp/é"])
async def test_what_is_no_request_is_told_by_ocsp_itself(site: Site, path: str) -> None:
    answered = await site.ask("GET", path)

    assert answered.status == 200
    response = ocsp.load_der_ocsp_response(answered.body)
    assert response.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    assert answered.headers["cache-control"] == "no-store"


async def test_a_client_that_leaves_is_not_waited_for(site: Site) -> None:
    answered = await site.ask("POST", "/ocsp", body=[])

    response = ocsp.load_der_ocsp_response(answered.body)
    assert response.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/ocsp"), ("PUT", "/ocsp"), ("POST", "/ocsp/x"), ("GET", "/ocspx")]
)
async def test_other_methods_and_paths_are_refused(site: Site, method: str, path: str) -> None:
    answered = await site.ask(method, path)

    assert (answered.status, answered.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_what_is_counted(site: Site) -> None:
    for number in (5, 5, 6, 7):
        await site.ask("POST", "/ocsp", body=[site.request(number)])
    await site.ask("POST", "/ocsp", body=[b"hello"])
    registry = site.metrics._responses
    counted = {
        (sample.labels["status"], sample.labels["cached"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }

    assert counted == {
        ("good", "no"): 1,
        ("good", "yes"): 1,
        ("revoked", "no"): 1,
        ("unknown", "no"): 1,
        ("malformed_request", "no"): 1,
    }
    site.metrics.list_failed(site.registry.ca.issuer_id)
    assert site.metrics._failed._value.get() == 1
    assert site.metrics._written._value.get() == 2
    assert site.metrics._entries.labels(site.registry.ca.issuer_id)._value.get() == 1
    part = ListState(ListName(site.registry.ca.issuer_id, 2, 1), 1, 100, site.registry.clock.now(), NOW, "")
    site.metrics.list_given_out(part, 1000)
    assert site.metrics._entries.labels(site.registry.ca.issuer_id)._value.get() == 1
    ends = site.metrics._next_update.labels(site.registry.ca.issuer_id)._value.get()
    assert ends == (site.registry.clock.now().replace(microsecond=0) + timedelta(days=1)).timestamp()


# What certificates say


def test_certificates_name_the_list_of_their_number() -> None:
    ca = new_issuing_ca()
    whole, split = (
        addresses_below("http://a.example", {ca.issuer_id: n}.__getitem__)(ca, SerialNumber(7)) for n in (1, 4)
    )

    assert split.revocation_list is not None
    assert whole.revocation_list == f"http://a.example/crl/{ca.issuer_id}.crl"
    assert split.revocation_list == f"http://a.example/crl/{ca.issuer_id}/4-3.crl"
    assert list_path(ListName(ca.issuer_id, 4, 3)) in split.revocation_list
    assert whole.issuer == f"http://a.example/ca/{ca.issuer_id}.cer"
    assert whole.status == "http://a.example/ocsp"


def test_certificates_of_issuers_name_the_list_of_their_root() -> None:
    root = new_issuing_ca()

    found = root_addresses_below("http://a.example")(root.certificate)

    assert found is not None
    assert found.revocation_list == f"http://a.example/crl/{root.issuer_id}.crl"
    assert found.issuer == f"http://a.example/ca/{root.issuer_id}.cer"
    assert found.status == "http://a.example/ocsp"
    assert root_addresses_below(None)(root.certificate) is None
