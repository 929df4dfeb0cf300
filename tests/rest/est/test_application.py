"""The order of EST's checks, and its answers where a part of the service is missing or busy."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace
from tests.support.certificates.signing_requests import csr_pem
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import ACCOUNT, EVERYTHING, StandingClock, caller_with, new_authority
from tests.support.services.recorded_log import RecordedLog

from thingmint.api.wire.calls import Calls
from thingmint.api.wire.errors import ErrorMap
from thingmint.api.wire.routing import Router
from thingmint.core.caller import Caller
from thingmint.core.errors import AuthenticationMissing, CredentialsUnknown, ServiceUnavailable, Throttled
from thingmint.core.identifiers import CertificateId, TemplateName
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.host.connections.peer_tls import Peer
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.registration.access.presented_secrets import PresentedSecret
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.enrollment import Enrollee
from thingmint.rest.answering import Answering
from thingmint.rest.asgi_messages import HTTPScope, ReceivedMessage, SentMessage
from thingmint.rest.est.application import EstApplication
from thingmint.rest.est.callers import Callers, ShownCredentials
from thingmint.rest.est.refusals import est_error
from thingmint.rest.throttle import Throttle

CALLER = caller_with(EVERYTHING)
DEVICE_ID = CertificateId("d1" * 32)
BASIC = (b"authorization", b"Basic " + base64.b64encode(b"AKIAEXAMPLE:secret"))
REQUEST = base64.b64encode(x509.load_pem_x509_csr(csr_pem("p-256").encode()).public_bytes(Encoding.DER))
SHOWN = Peer((b"certificate",), "localhost")


@dataclass
class FakeDevice:
    """A device that may publish on everything or on nothing."""

    enrollee: Enrollee
    may: bool = True

    async def may_publish(self, topic: str) -> bool:
        del topic
        return self.may

    async def require_publish(self, topics: Iterable[str]) -> None:
        assert list(topics)


@dataclass
class EstBench:
    """EST between fakes."""

    authority: RegistrationAuthority = field(default_factory=lambda: new_authority(MemoryStore()))
    quota: Mapping[str, float] | str = "none"
    claim: ClaimCertificate | None = None
    throttled_operations: list[str] = field(default_factory=list)
    observed: list[tuple[str, str]] = field(default_factory=list)

    async def authenticate(self, presented: PresentedSecret, request_id: str, source_address: str) -> Caller:
        assert (presented, request_id, source_address) == (PresentedSecret("AKIAEXAMPLE", "secret"), "r-1", "192.0.2.1")
        return CALLER

    async def identify(self, peer: Peer, source_address: str) -> FakeDevice:
        assert (peer, source_address) == (SHOWN, "192.0.2.1")
        return FakeDevice(Enrollee(CALLER, DEVICE_ID, self.claim))

    def observe_request(self, operation: str, error: str, seconds: float) -> None:
        assert seconds >= 0
        self.observed.append((operation, error))

    def throttled(self, operation: str) -> None:
        self.throttled_operations.append(operation)

    def in_flight(self, delta: int) -> None:
        del delta

    def application(self) -> EstApplication:
        async def no_tags(resource: str) -> Mapping[str, str]:
            del resource
            return {}

        calls = Calls(Router(()), Throttle(self.quota, lambda: 0.0), StandingClock(), no_tags)
        answering = Answering(
            errors=ErrorMap(), observer=self, log=RecordedLog(), new_request_id=lambda: "r-1", error_form=est_error
        )
        return EstApplication(self.authority, Callers(self, self), calls, answering, tuple)


async def ask(
    application: EstApplication,
    operation: str,
    *headers: tuple[bytes, bytes],
    body: bytes = REQUEST,
    method: str = "POST",
    peer: Peer | None = None,
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[SentMessage] = []

    async def receive() -> ReceivedMessage:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: SentMessage) -> None:
        sent.append(message)

    path = f"/.well-known/est/{operation}"
    scope: HTTPScope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.1", 40000),
        "server": None,
    }
    if peer is not None:
        scope["state"] = {"peer": peer}
    await application(scope, receive, send)
    start, content = sent
    assert start["type"] == "http.response.start"
    assert content["type"] == "http.response.body"
    return start["status"], dict(start.get("headers", ())), content["body"]


async def test_quotas_count_as_for_the_operation_that_it_is() -> None:
    bench = EstBench(quota={"CreateCertificateFromCsr": 1.0})
    application = bench.application()
    assert (await ask(application, "simpleenroll", BASIC))[0] == 200
    for answered in (
        await ask(application, "simpleenroll", BASIC),
        await ask(application, "simplereenroll", peer=SHOWN),
    ):
        assert (answered[0], answered[1][b"retry-after"]) == (429, b"1")
    assert bench.throttled_operations == ["EstSimpleEnroll", "EstSimpleReenroll"]
    assert (await ask(application, "serverkeygen", BASIC))[0] == 200


async def test_what_is_missing_or_busy_is_asked_for_again_later() -> None:
    class NoKeys:
        def __init__(self, error: Exception) -> None:
            self._error = error

        async def take(self) -> KeyPair:
            raise self._error

    bench = EstBench()
    for error, status in ((ServiceUnavailable(), 503), (Throttled(), 429)):
        bench.authority = replace(bench.authority, key_source=NoKeys(error))
        answered, headers, _ = await ask(bench.application(), "serverkeygen", BASIC)
        assert (answered, b"retry-after" in headers) == (status, True)

    def wrong_clock() -> None:
        raise ServiceUnavailable("The clock is wrong")

    bench.authority = replace(bench.authority, require_right_clock=wrong_clock)
    assert (await ask(bench.application(), "simpleenroll", BASIC))[0] == 503
    assert bench.observed[-1] == ("EstSimpleEnroll", "ServiceUnavailableException")


async def test_a_claim_is_not_renewed() -> None:
    claim = ClaimCertificate(CALLER.scope, DEVICE_ID, TemplateName("fleet"), "generation", StandingClock().now())
    status, _, text = await ask(EstBench(claim=claim).application(), "simplereenroll", peer=SHOWN)
    assert (status, b"claim certificate is not renewed" in text) == (403, True)


@pytest.mark.parametrize(("operation", "method"), [("cacerts", "POST"), ("csrattrs", "PUT"), ("simpleenroll", "GET")])
async def test_other_methods_are_named(operation: str, method: str) -> None:
    bench = EstBench()
    status, headers, _ = await ask(bench.application(), operation, method=method)
    assert (status, b"allow" in headers) == (405, True)
    assert bench.observed[-1][1] == "MethodNotAllowed"


@pytest.mark.parametrize(
    "value", [b"Basic", b"Basic ???", b"Basic " + base64.b64encode(b"no colon"), b"Basic /w==", b"Bearer x", b""]
)
async def test_an_authorization_that_cannot_be_read_is_not_known(value: bytes) -> None:
    callers = Callers(EstBench(), EstBench())
    with pytest.raises(CredentialsUnknown):
        await callers.author(ShownCredentials(SHOWN, value, "192.0.2.1", "r-1"))


@pytest.mark.parametrize("peer", [None, Peer((), None)])
async def test_who_shows_nothing_is_asked(peer: Peer | None) -> None:
    callers = Callers(EstBench(), EstBench())
    with pytest.raises(AuthenticationMissing):
        await callers.author(ShownCredentials(peer, None, "192.0.2.1", "r-1"))
    device = await callers.author(ShownCredentials(SHOWN, None, "192.0.2.1", "r-1"))
    assert not isinstance(device, Caller)
    assert device.enrollee.caller.account == ACCOUNT
