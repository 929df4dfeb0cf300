"""The application as an HTTP server would run it: order of checks, limits, answers, logs; on invented operations."""

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.registration.authority import ACCOUNT, EVERYTHING, StandingClock, caller_with
from tests.support.services.recorded_log import RecordedLog

from thingmint.api.wire.calls import Calls
from thingmint.api.wire.errors import ErrorMap, RequestTooLarge
from thingmint.api.wire.operation import Operation, Served, unimplemented
from thingmint.api.wire.planes import Plane
from thingmint.api.wire.reading.binding import RawRequest
from thingmint.api.wire.resources import any_resource
from thingmint.api.wire.routing import Router
from thingmint.core.caller import Caller
from thingmint.core.errors import (
    AuthenticationMissing,
    InvalidRequest,
    OperationUnknown,
    ServiceUnavailable,
    Throttled,
)
from thingmint.core.identifiers import Scope
from thingmint.core.policies.language import Policy, parse_policy
from thingmint.rest.answering import Answering
from thingmint.rest.answers import Answer, error_answer
from thingmint.rest.asgi import Application
from thingmint.rest.asgi_messages import HTTPScope, ReceivedMessage, SentMessage
from thingmint.rest.body import BodyLimits, BodyReader
from thingmint.rest.front import Front, Mounted
from thingmint.rest.pages import PREFIXES, Pages
from thingmint.rest.sigv4.signature import HttpRequest

REQUEST_ID = "0e9a4a5e-3f5e-4c38-9a64-6a4f4ff9a111"
SECRET = "-----BEGIN RSA PRIVATE KEY-----"


@dataclass
class Answered:
    """What the server was told to send."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def error(self) -> tuple[int, bytes | None, str]:
        """Status, name and message of an error."""
        return self.status, self.headers.get(b"x-amzn-errortype"), json.loads(self.body)["message"]


@dataclass
class Bench:
    """An application between fakes that remember what they saw."""

    policies: tuple[Policy, ...] = (EVERYTHING,)
    steps: list[str] = field(default_factory=list)
    log: RecordedLog = field(default_factory=RecordedLog)
    observed: list[tuple[str, str]] = field(default_factory=list)
    throttles: list[str] = field(default_factory=list)
    in_flight_now: int = 0
    signature: Exception | None = None
    quota: Exception | None = None
    readiness: Exception | None = None
    device_readiness: Exception | None = None
    result: Callable[[], Awaitable[bytes]] | None = None
    seen: RawRequest | None = None
    signed: HttpRequest | None = None
    plane: Plane = Plane.CONTROL

    # The application's collaborators.

    async def authenticate(
        self, request: HttpRequest, request_id: str, source_address: str, signed_for: AbstractSet[str]
    ) -> Caller:
        self.steps.append("authenticate")
        assert (request_id, source_address, signed_for) == (REQUEST_ID, "192.0.2.1", self.plane.signed_for)
        self.signed = request
        if self.signature is not None:
            raise self.signature
        return caller_with(*self.policies)

    def admit(self, account: str, operation: str) -> None:
        self.steps.append("throttle")
        assert (account, operation) in {(ACCOUNT, "Create"), (ACCOUNT, "CreateThing")}
        if self.quota is not None:
            raise self.quota

    async def invoke(self, caller: Caller, request: RawRequest) -> bytes:
        self.steps.append("invoke")
        self.seen = request
        return b'{"made":true}' if self.result is None else await self.result()

    def resource(self, scope: Scope, request: RawRequest) -> str:
        self.steps.append("resource")
        return any_resource(scope, request)

    def observe_request(self, operation: str, error: str, seconds: float) -> None:
        assert seconds >= 0
        self.observed.append((operation, error))

    def throttled(self, operation: str) -> None:
        self.throttles.append(operation)

    def in_flight(self, delta: int) -> None:
        self.in_flight_now += delta

    async def check_ready(self) -> None:
        if self.readiness is not None:
            raise self.readiness

    def check_devices_ready(self) -> None:
        if self.device_readiness is not None:
            raise self.device_readiness

    async def metrics(self) -> bytes:
        return b"requests 1\n"

    async def tags_of(self, resource_arn: str) -> dict[str, str]:
        raise AssertionError("the policies of these tests ask for no tags")

    # What tests use.

    def application(self, max_in_flight: int = 8, body_limits: BodyLimits | None = None) -> Front:
        operation = Operation("Create", "POST", "/certificates", self.resource, plane=self.plane)
        errors = ErrorMap()
        answering = Answering(errors=errors, observer=self, log=self.log, new_request_id=lambda: REQUEST_ID)
        router = Router([Served(operation, self.invoke), unimplemented("CreateThing", "POST /things/{thingName}")])
        api = Application(
            calls=Calls(router, throttle=self, clock=StandingClock(), tags_of=self.tags_of),
            answering=answering,
            authenticator=self,
            max_in_flight=max_in_flight,
            body_limits=body_limits,
        )
        pages = Pages(answering, self.check_ready, self.check_devices_ready, self.metrics)

        def form(error: Exception) -> Answer:
            return error_answer(errors.answer(error))

        return Front([Mounted(api, form), Mounted(pages, form, PREFIXES)], lambda: REQUEST_ID)

    async def call(self, method: str = "POST", target: str = "/certificates", body: bytes = b"") -> Answered:
        return await exchange(self.application(), method, target, [chunk(body)])


def chunk(body: bytes, *, more: bool = False) -> ReceivedMessage:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: ReceivedMessage = {"type": "http.disconnect"}


def scope_of(method: str, target: str, headers: Sequence[tuple[bytes, bytes]] = (), scheme: str = "https") -> HTTPScope:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("192.0.2.1", 50000),
        "server": ("127.0.0.1", 8443),
    }


async def exchange(
    application: Front,
    method: str,
    target: str,
    events: Sequence[ReceivedMessage],
    headers: Sequence[tuple[bytes, bytes]] = (),
    scheme: str = "https",
) -> Answered:
    sent: list[Any] = []  # ASGI's messages are dictionaries of several types
    arriving = iter(events)

    async def receive() -> ReceivedMessage:
        event = next(arriving, None)
        if event is None:
            await asyncio.Event().wait()
        assert event is not None
        return event

    async def send(event: SentMessage) -> None:
        sent.append(event)

    await application(scope_of(method, target, headers, scheme), receive, send)
    if not sent:
        return Answered(0, {}, b"")
    start, end = sent
    assert len(start["headers"]) == len(dict(start["headers"])), "no header field is sent twice"
    return Answered(start["status"], dict(start["headers"]), end["body"])


async def test_a_request_is_answered_with_the_operation_s_json() -> None:
    bench = Bench()

    answered = await bench.call("POST", "/certificates?setAsActive=true", b'{"a":1}')

    assert (answered.status, answered.body) == (200, b'{"made":true}')
    assert answered.headers == {
        b"content-type": b"application/json",
        b"content-length": b"13",
        b"cache-control": b"no-store",
        b"x-amzn-requestid": REQUEST_ID.encode(),
    }
    assert bench.seen == RawRequest({}, [("setAsActive", "true")], [], b'{"a":1}')
    assert bench.signed == HttpRequest("POST", b"/certificates", b"setAsActive=true", [], b'{"a":1}')


async def test_checks_come_in_the_order_of_aws() -> None:
    bench = Bench()

    await bench.call()

    assert bench.steps == ["authenticate", "resource", "throttle", "invoke"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("PUT", "/certificates"), ("OPTIONS", "/")])
async def test_an_unknown_route_is_refused_before_anything_is_asked(method: str, path: str) -> None:
    bench = Bench()

    answered = await bench.call(method, path)

    assert answered.error == (400, b"UnknownOperationException", "No operation answers to this method and path")
    assert bench.steps == []
    assert bench.observed == [("Unknown", "UnknownOperationException")]


async def test_a_missing_signature_stops_the_request() -> None:
    bench = Bench(signature=AuthenticationMissing("Missing Authentication Token"))

    answered = await bench.call("POST", "/certificates?%ff")

    assert answered.error == (403, b"MissingAuthenticationTokenException", "Missing Authentication Token")
    assert bench.steps == ["authenticate"]


async def test_an_operation_that_thingmint_does_not_have_asks_for_a_signature_first() -> None:
    bench = Bench(signature=AuthenticationMissing("Missing Authentication Token"))

    assert (await bench.call("POST", "/things/lamp")).status == 403


async def test_an_operation_that_thingmint_does_not_have_is_named_to_callers_whom_no_policy_allows_anything() -> None:
    answered = await Bench(policies=()).call("POST", "/things/lamp")

    assert answered.error == (400, b"UnknownOperationException", "CreateThing is not implemented by Thingmint")


async def test_a_policy_stops_the_request_before_the_quota_and_the_checks() -> None:
    bench = Bench(policies=(), quota=Throttled())

    status, name, message = (await bench.call()).error

    assert (status, name) == (403, b"AccessDeniedException")
    assert message == (
        "User: arn:aws:iam::123456789012:user/operator is not authorized to perform: iot:Create on resource: * "
        "because no identity-based policy allows the iot:Create action"
    )
    assert bench.steps == ["authenticate", "resource"]


@pytest.mark.parametrize(
    ("condition", "scheme", "status"),
    [
        ('"Bool":{"aws:SecureTransport":"true"}', "https", 200),
        ('"Bool":{"aws:SecureTransport":"true"}', "http", 403),
        ('"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}', "https", 200),
        ('"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}', "https", 403),
        ('"DateLessThan":{"aws:CurrentTime":"2018-11-01T00:00:00Z"}', "https", 200),
        ('"DateLessThan":{"aws:CurrentTime":"2018-10-31T21:52:31Z"}', "https", 403),
        ('"StringEquals":{"aws:username":"operator"}', "https", 200),
        ('"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:user/operator"}', "https", 200),
    ],
)
async def test_policies_may_set_conditions_on_the_request(condition: str, scheme: str, status: int) -> None:
    policy = f'"Effect":"Allow","Action":"iot:Create","Resource":"*","Condition":{{{condition}}}'
    bench = Bench(policies=(parse_policy(f'{{"Version":"2012-10-17","Statement":[{{{policy}}}]}}'),))

    answered = await exchange(bench.application(), "POST", "/certificates", [chunk(b"")], scheme=scheme)

    assert answered.status == status


async def test_a_used_up_quota_stops_the_request_and_says_when_to_come_back() -> None:
    bench = Bench(quota=Throttled(retry_after=2.5))

    answered = await bench.call()

    assert answered.error == (400, b"ThrottlingException", "Rate exceeded")
    assert answered.headers[b"retry-after"] == b"3"
    assert bench.throttles == ["Create"]
    assert "invoke" not in bench.steps


async def test_a_query_that_cannot_be_decoded_is_refused() -> None:
    answered = await Bench().call("POST", "/certificates?a=%zz")

    assert answered.error[:2] == (400, b"InvalidRequestException")


async def test_head_is_answered_without_a_body() -> None:
    answered = await Bench().call("HEAD", "/certificates")

    assert (answered.status, answered.body) == (400, b"")
    assert answered.headers[b"content-length"] != b"0"


async def test_only_so_many_requests_are_worked_on_at_once() -> None:
    bench, finish, working = Bench(), asyncio.Event(), asyncio.Event()

    async def wait() -> bytes:
        working.set()
        await finish.wait()
        return b"{}"

    bench.result = wait
    application = bench.application(max_in_flight=1)
    first = asyncio.create_task(exchange(application, "POST", "/certificates", [chunk(b"")]))
    await working.wait()

    refused = await exchange(application, "POST", "/certificates", [chunk(b"")])
    counted = bench.in_flight_now
    finish.set()
    served = await first
    again = await exchange(application, "POST", "/certificates", [chunk(b"")])

    assert refused.error == (400, b"ThrottlingException", "Rate exceeded")
    assert refused.headers[b"retry-after"] == b"1"
    assert (served.status, again.status) == (200, 200)
    assert (counted, bench.in_flight_now) == (1, 0)


async def test_a_cancelled_request_gives_its_room_back() -> None:
    bench, working = Bench(), asyncio.Event()

    async def wait() -> bytes:
        working.set()
        await asyncio.Event().wait()
        raise AssertionError

    bench.result = wait
    request = asyncio.create_task(bench.call())
    await working.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert bench.in_flight_now == 0


async def test_a_body_may_come_in_pieces() -> None:
    bench = Bench()

    await exchange(
        bench.application(), "POST", "/certificates", [chunk(b"ab", more=True), chunk(b"", more=True), chunk(b"cd")]
    )

    assert bench.seen is not None
    assert bench.seen.body == b"abcd"


SMALL = BodyLimits(bytes_each=4, bytes_together=6, seconds=60)


@pytest.mark.parametrize(
    ("events", "headers"),
    [
        ([], [(b"host", b"x"), (b"content-length", b"5")]),
        ([chunk(b"abcde")], []),
        ([chunk(b"abc", more=True), chunk(b"de", more=True)], []),
        ([chunk(b"abc", more=True), chunk(b"de")], []),
    ],
)
async def test_a_body_that_is_too_long_is_refused_as_soon_as_that_is_known(
    events: list[ReceivedMessage], headers: list[tuple[bytes, bytes]]
) -> None:
    bench = Bench()

    answered = await exchange(bench.application(body_limits=SMALL), "POST", "/certificates", events, headers)

    assert answered.error == (
        413,
        b"RequestEntityTooLargeException",
        "The body of the request is larger than 4 bytes",
    )
    assert bench.steps == []


async def test_a_body_of_exactly_the_limit_is_served() -> None:
    application = Bench().application(body_limits=SMALL)

    whole = await exchange(application, "POST", "/certificates", [chunk(b"abcd")], [(b"content-length", b"4")])
    pieces = await exchange(application, "POST", "/certificates", [chunk(b"ab", more=True), chunk(b"cd")])

    assert (whole.status, pieces.status) == (200, 200)


async def test_unfinished_bodies_take_only_so_much_memory_together() -> None:
    """The one that has been waited for longest gives way: to send half of a body takes no key."""
    application = Bench().application(body_limits=SMALL)
    oldest, second = (
        asyncio.create_task(exchange(application, "POST", "/certificates", [chunk(b"abc", more=True)]))
        for _ in range(2)
    )
    await asyncio.sleep(0)

    served = [
        await exchange(application, "POST", "/certificates", [chunk(b"ab", more=True), chunk(b"cd")]) for _ in range(3)
    ]

    assert [each.status for each in served] == [200, 200, 200]
    assert (await oldest).error == (400, b"ThrottlingException", "Rate exceeded")
    assert not second.done()
    second.cancel()


async def test_a_body_that_goes_on_while_it_gives_way_is_not_counted_twice() -> None:
    reader = BodyReader(SMALL)
    parts = [asyncio.Queue[ReceivedMessage]() for _ in range(2)]
    oldest, second = (asyncio.create_task(reader.read(scope_of("POST", "/"), each.get)) for each in parts)
    for each in parts:
        each.put_nowait(chunk(b"abc", more=True))
        await asyncio.sleep(0)

    parts[1].put_nowait(chunk(b"d", more=True))
    parts[0].put_nowait(chunk(b"ddd", more=True))
    with pytest.raises(Throttled):
        await oldest
    parts[1].put_nowait(chunk(b""))

    assert await second == b"abcd"
    for _ in range(4):
        parts[0].put_nowait(chunk(b"ab", more=True))
        parts[0].put_nowait(chunk(b"cd"))
        assert await reader.read(scope_of("POST", "/"), parts[0].get) == b"abcd"


async def test_a_body_that_has_arrived_is_read_without_the_messages() -> None:
    reader = BodyReader(SMALL)

    async def never() -> ReceivedMessage:
        raise AssertionError("the body was there")

    scope = scope_of("POST", "/")
    scope["extensions"] = {"whole_body": lambda: b"abcd"}
    assert await reader.read(scope, never) == b"abcd"
    scope["extensions"] = {"whole_body": lambda: b"a" * (SMALL.bytes_each + 1)}
    with pytest.raises(RequestTooLarge):
        await reader.read(scope, never)
    parts = iter([chunk(b"ab", more=True), chunk(b"cd")])
    scope["extensions"] = {"whole_body": lambda: None}

    async def next_part() -> ReceivedMessage:
        return next(parts)

    assert await reader.read(scope, next_part) == b"abcd"


async def test_a_body_larger_than_all_may_be_together_is_refused() -> None:
    application = Bench().application(body_limits=BodyLimits(bytes_each=10, bytes_together=6))

    refused = await exchange(application, "POST", "/certificates", [chunk(b"abcdefgh", more=True)])
    served = await exchange(application, "POST", "/certificates", [chunk(b"ab", more=True), chunk(b"cd")])

    assert refused.error == (400, b"ThrottlingException", "Rate exceeded")
    assert served.status == 200


async def test_a_body_that_does_not_arrive_is_not_waited_for_for_ever() -> None:
    application = Bench().application(body_limits=BodyLimits(seconds=0.01))

    answered = await exchange(application, "POST", "/certificates", [chunk(b"a", more=True)])

    assert answered.error[:2] == (408, b"RequestTimeoutException")


@pytest.mark.parametrize("events", [[GONE], [chunk(b"a", more=True), GONE]])
async def test_a_client_that_leaves_before_its_request_is_complete_is_not_answered(
    events: list[ReceivedMessage],
) -> None:
    bench = Bench()

    answered = await exchange(bench.application(), "POST", "/certificates", events)

    assert answered.status == 0
    assert bench.steps == []
    assert bench.observed == [("Create", "ClientDisconnected")]


async def test_each_request_is_one_log_line_that_quotes_nothing_of_it() -> None:
    bench = Bench()
    headers = [(b"authorization", b"header-secret")]

    await exchange(bench.application(), "POST", "/certificates?token=query-secret", [chunk(b"body-secret")], headers)

    ((level, event, fields),) = bench.log.lines
    assert (level, event) == ("info", "request")
    seconds = fields.pop("seconds")
    assert isinstance(seconds, float)
    assert fields == {
        "operation": "Create",
        "status": 200,
        "error": None,
        "cause": None,
        "request_id": REQUEST_ID,
        "principal": "arn:aws:iam::123456789012:user/operator",
        "source": "192.0.2.1",
    }
    assert bench.observed == [("Create", "")]


def failing(error: Exception, cause: Exception | None = None) -> Callable[[], Awaitable[bytes]]:
    async def fail() -> bytes:
        private_key = SECRET
        if private_key:
            raise error from cause
        return b"{}"

    return fail


async def test_a_part_that_does_not_answer_is_named_in_the_log_and_not_in_the_answer() -> None:
    bench = Bench(result=failing(ServiceUnavailable(), OSError(28, SECRET)))

    answered = await bench.call()

    assert answered.error == (
        503,
        b"ServiceUnavailableException",
        "The service is temporarily unable to handle the request.",
    )
    ((_, _, fields),) = bench.log.lines
    assert (fields["status"], fields["error"], fields["cause"]) == (503, "ServiceUnavailableException", "OSError")


async def test_an_unexpected_error_is_logged_with_its_place_and_without_its_words() -> None:
    bench = Bench(result=failing(ValueError(SECRET), KeyError(SECRET)))

    answered = await bench.call()

    assert answered.error == (500, b"InternalFailureException", "An internal failure occurred")
    (level, _, fields), (_, _, line) = bench.log.lines
    assert level == "error"
    assert fields["request_id"] == line["request_id"] == REQUEST_ID
    traceback = str(fields["traceback"])
    assert traceback.startswith("ValueError\n")
    assert "raise error from cause" in traceback
    assert "caused by KeyError" in traceback
    assert SECRET not in repr(bench.log.lines)
    assert SECRET.encode() not in answered.body


async def test_a_long_chain_of_causes_is_cut() -> None:
    error = ValueError("last")
    innermost: Exception = error
    for _ in range(20):
        innermost.__cause__ = TypeError("earlier")
        innermost = innermost.__cause__
    bench = Bench(result=failing(RuntimeError("outer"), error))

    await bench.call()

    assert str(bench.log.lines[0][2]["traceback"]).count("caused by") == 4


async def test_nothing_keeps_an_answer_after_it_was_sent() -> None:
    # What is counted is the body's references: an answer may hold a private key.
    body = json.dumps({"PrivateKey": SECRET * 9}).encode()

    async def answer() -> bytes:
        return body

    bench = Bench(result=answer)
    application = bench.application()
    before = sys.getrefcount(body)

    answered = await exchange(application, "POST", "/certificates", [chunk(b"")])
    assert answered.body is body
    del answered
    gc.collect()

    assert sys.getrefcount(body) == before


async def test_the_reprs_of_requests_and_answers_show_nothing_secret() -> None:
    from thingmint.api.wire.calls import Sent
    from thingmint.api.wire.reading.binding import RawRequest
    from thingmint.rest.answers import Answer
    from thingmint.rest.http.protocol.request_parser import RequestHead

    secret = SECRET.encode()
    headers = [(b"authorization", secret), (b"x-amz-security-token", secret)]
    values = (
        Answer(200, secret),
        RawRequest({}, [("X-Amz-Security-Token", SECRET)], headers, secret),
        RequestHead("GET", "1.1", b"/?X-Amz-Security-Token=" + secret, headers, True, False, False),
        Sent("https", headers),
    )
    assert [value for value in values if SECRET in repr(value)] == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("/healthz", b"text/plain; charset=utf-8", b"ok\n"),
        ("/readyz?verbose", b"text/plain; charset=utf-8", b"ok\n"),
        ("/metrics", b"text/plain; version=0.0.4; charset=utf-8", b"requests 1\n"),
    ],
)
async def test_pages_for_watchers_need_no_signature(method: str, path: str, content_type: bytes, body: bytes) -> None:
    bench = Bench(signature=AuthenticationMissing("x"))

    answered = await bench.call(method, path)

    assert (answered.status, answered.headers[b"content-type"]) == (200, content_type)
    assert answered.body == (body if method == "GET" else b"")
    assert answered.headers[b"x-amzn-requestid"] == REQUEST_ID.encode()
    assert [level for level, _, _ in bench.log.lines] == ["debug"]


async def test_a_service_that_is_not_ready_says_so_and_is_alive() -> None:
    bench = Bench(readiness=ServiceUnavailable())

    assert (await bench.call("GET", "/readyz")).status == 503
    assert (await bench.call("GET", "/healthz")).status == 200
    assert [level for level, _, _ in bench.log.lines] == ["info", "debug"]


async def test_readiness_for_devices_is_asked_for_apart() -> None:
    away = Bench(readiness=ServiceUnavailable())
    assert (await away.call("GET", "/readyz/devices")).status == 200
    closed = Bench(device_readiness=ServiceUnavailable())
    assert (await closed.call("GET", "/readyz/devices")).status == 503
    assert (await closed.call("GET", "/readyz")).status == 200
    assert (await closed.call("GET", "/readyz/others")).error[1] == b"UnknownOperationException"


async def test_pages_are_only_read() -> None:
    assert (await Bench().call("POST", "/healthz")).error[1] == b"UnknownOperationException"


async def test_a_client_without_an_address_is_served() -> None:
    bench, sent = Bench(), list[SentMessage]()
    scope = scope_of("GET", "/healthz")
    scope["client"] = None

    async def receive() -> ReceivedMessage:
        raise AssertionError

    async def send(event: SentMessage) -> None:
        sent.append(event)

    await bench.application()(scope, receive, send)

    assert bench.log.lines[0][2]["source"] == ""
    assert len(sent) == 2


async def test_what_is_not_http_is_refused() -> None:
    scope: Any = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}

    async def receive() -> ReceivedMessage:
        raise AssertionError

    async def send(event: SentMessage) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="lifespan is not served"):
        await Bench().application()(scope, receive, send)


@pytest.mark.parametrize("error", [InvalidRequest("x"), OperationUnknown("x")])
async def test_every_error_carries_the_request_id_and_forbids_caching(error: Exception) -> None:
    answered = await Bench(result=failing(error)).call()

    assert answered.headers[b"x-amzn-requestid"] == REQUEST_ID.encode()
    assert answered.headers[b"cache-control"] == b"no-store"
    assert answered.headers[b"content-type"] == b"application/json"
    assert int(answered.headers[b"content-length"]) == len(answered.body)
