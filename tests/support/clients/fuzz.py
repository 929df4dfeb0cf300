"""Owns what fuzzed requests are made of: good ones for every operation of AWS's model, and many ways to spoil them."""

import gzip
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

import botocore
from hypothesis import strategies as st

from thingmint.rest.sigv4.signature import Credentials, HttpRequest, sign

_MODEL = Path(botocore.__file__).parent / "data" / "iot" / "2015-05-28" / "service-2.json.gz"


@dataclass(frozen=True)
class Route:
    """Where AWS's model has an operation."""

    method: str
    template: str
    query_names: tuple[str, ...]


@cache
def routes() -> tuple[Route, ...]:
    """Return the routes of all operations of the model."""
    model = json.loads(gzip.decompress(_MODEL.read_bytes()))
    found = []
    for operation in model["operations"].values():
        members = model["shapes"].get(operation.get("input", {}).get("shape", ""), {}).get("members", {})
        names = tuple(member["locationName"] for member in members.values() if member.get("location") == "querystring")
        found.append(Route(operation["http"]["method"], operation["http"]["requestUri"], names))
    return tuple(found)


# Most of what is drawn is for these: the registry of certificates, and what clients do besides.
_CERTIFICATES = ("/certificates", "/keys-and-certificate", "/endpoint", "/tags")
_REGISTRY = (*_CERTIFICATES, "/things", "/policies", "/target-policies", "/thing-groups", "/principals")


@cache
def _route_groups() -> tuple[tuple[Route, ...], ...]:
    def under(prefixes: tuple[str, ...]) -> tuple[Route, ...]:
        return tuple(route for route in routes() if route.template.startswith(prefixes))

    return routes(), under(_REGISTRY), under(_CERTIFICATES), under(_CERTIFICATES)


@dataclass(frozen=True)
class Target:
    """The service that is fuzzed, and something that exists in it."""

    host: str
    region: str
    credentials: Credentials
    certificate_id: str
    csr_pem: str

    @property
    def good_body(self) -> bytes:
        """What CreateCertificateFromCsr expects."""
        return json.dumps({"certificateSigningRequest": self.csr_pem}).encode()


@dataclass(frozen=True)
class Draft:
    """A request before it is signed and written down."""

    method: bytes
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def written(self, signature: tuple[tuple[bytes, bytes], ...], *, chunked: bool) -> bytes:
        """Return the request as it goes over the wire, with a body as long as it says."""
        target = self.path + (b"?" + self.query if self.query else b"")
        framing = (b"transfer-encoding", b"chunked") if chunked else (b"content-length", b"%d" % len(self.body))
        fields = [*self.headers, *signature, framing, (b"connection", b"close")]
        head = b"\r\n".join([b"%b %b HTTP/1.1" % (self.method, target), *(b"%b: %b" % pair for pair in fields)])
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.body), self.body) if chunked and self.body else self.body
        if chunked and not self.body:
            body = b"0\r\n\r\n"
        return head + b"\r\n\r\n" + body


_ODD_TEXTS = st.one_of(
    st.sampled_from(["", "true", "false", "0", "-1", "250", "99999999999999999999", "null", "..", "a" * 300, "ACTIVE"]),
    st.text(max_size=20),
)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
_TOKEN_BYTES = st.sampled_from(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$&'()*+,;=:@%/")
_METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND"])
_HEADER_NAMES = st.sampled_from(
    [b"accept", b"content-type", b"x-amz-target", b"x-amzn-trace-id", b"x-amz-date", b"authorization", b"expect",
     b"x-amz-content-sha256", b"x-amz-security-token", b"date", b"range", b"x-forwarded-for", b"te", b"cookie"]
)  # fmt: skip
_HEADER_VALUES = st.one_of(
    st.sampled_from(
        [b"", b"100-continue", b"application/json", b"text/html", b"UNSIGNED-PAYLOAD", b"AWS4-HMAC-SHA256"]
    ),
    st.binary(max_size=30).map(lambda value: bytes(byte for byte in value if byte not in b"\r\n\0")),
)


@st.composite
def _paths(draw: st.DrawFn, target: Target, route: Route, *, is_good: bool) -> bytes:
    good = st.just(target.certificate_id)
    path = route.template.partition("?")[0]
    while "{" in path:
        before, _, rest = path.partition("{")
        value = draw(good if is_good else st.one_of(good, st.just("a" * 64), _ODD_TEXTS))
        path = before + quote(value, safe="") + rest.partition("}")[2]
    return path.encode()


@st.composite
def _queries(draw: st.DrawFn, route: Route) -> bytes:
    names = st.sampled_from([*route.query_names, "pageSize", "marker", "setAsActive", "X-Amz-Signature", "Action"])
    pairs = draw(st.lists(st.tuples(names, _ODD_TEXTS), max_size=3))
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs).encode()


def _bodies(target: Target) -> st.SearchStrategy[bytes]:
    good = target.good_body
    return st.one_of(
        st.just(b""),
        st.just(good),
        st.integers(0, len(good)).map(lambda cut: good[:cut]),
        _JSON.map(lambda value: json.dumps({"certificateSigningRequest": value}).encode()),
        _JSON.map(lambda value: json.dumps(value).encode()),
        st.binary(max_size=60),
        st.integers(1, 5000).map(lambda depth: b"[" * depth),
        st.just(b'{"certificateSigningRequest":"' + b"\xff" * 20 + b'"}'),
    )


@st.composite
def drafts(draw: st.DrawFn, target: Target) -> Draft:
    """Draw a request for one of the model's operations, or for no operation at all."""
    route = draw(st.sampled_from(draw(st.sampled_from(_route_groups()))))
    is_good = draw(st.booleans())
    query = b"&".join(draw(st.lists(st.sampled_from([b"setAsActive=true", b"pageSize=2"]), max_size=1)))
    draft = Draft(
        method=route.method.encode(),
        path=draw(_paths(target, route, is_good=is_good)),
        query=query if is_good else draw(_queries(route)),
        headers=((b"host", target.host.encode()),),
        body=target.good_body if is_good else draw(_bodies(target)),
    )
    if is_good and draw(st.booleans()):
        return draft
    if draw(st.integers(0, 3)) == 0:
        draft = replace(draft, method=draw(_METHODS))
    if draw(st.integers(0, 3)) == 0:
        path = draw(st.lists(_TOKEN_BYTES, max_size=40).map(bytes))
        draft = replace(draft, path=b"/" + path)
    if draw(st.integers(0, 7)) == 0:
        draft = replace(draft, path=b"/" + quote_from_bytes(draw(st.binary(max_size=20))).encode())
    if draw(st.integers(0, 3)) == 0:
        more = draw(st.lists(st.tuples(_HEADER_NAMES, _HEADER_VALUES), max_size=4))
        draft = replace(draft, headers=(*draft.headers, *more))
    return draft


@st.composite
def requests(draw: st.DrawFn, target: Target) -> bytes:
    """Draw a request as it goes over the wire: signed, not signed, signed wrongly, or spoilt after it was signed."""
    draft = draw(drafts(target))
    signature: tuple[tuple[bytes, bytes], ...] = ()
    kind = draw(st.sampled_from(["signed", "signed", "signed", "unsigned", "wrong key", "spoilt", "spoilt"]))
    if kind != "unsigned":
        credentials = target.credentials
        if kind == "wrong key":
            credentials = Credentials(credentials.access_key_id, draw(_ODD_TEXTS) or "x", None)
        request = HttpRequest(draft.method.decode(), draft.path, draft.query, list(draft.headers), draft.body)
        signature = tuple(sign(request, credentials, target.region, datetime.now(UTC)))
    written = draft.written(signature, chunked=draw(st.integers(0, 4)) == 0)
    return draw(spoilt(written)) if kind == "spoilt" else written


@st.composite
def spoilt(draw: st.DrawFn, written: bytes) -> bytes:
    """Draw a damaged copy: bytes changed, removed, repeated or put in."""
    damaged = bytearray(written)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(damaged) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "repeat", "insert", "end"]))
        if kind == "flip" and damaged:
            damaged[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del damaged[at : at + draw(st.integers(1, 20))]
        elif kind == "repeat":
            damaged[at:at] = damaged[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            damaged[at:at] = draw(st.one_of(st.binary(min_size=1, max_size=6), st.sampled_from([b"\r\n", b"\0", b" "])))
        else:
            del damaged[at:]
    return bytes(damaged)


_FRAGMENTS = (
    b"GET ", b"POST ", b"/", b"/certificates", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0",
    b"\r\n", b"\n", b"\r", b"\0", b" ",
    b"\t", b":", b"Host: localhost", b"Host: ", b"Content-Length: ", b"Transfer-Encoding: chunked", b"0", b"5",
    b"-1", b"+1",
    b"0x10", b"99999999999999999999999", b"chunked", b"gzip", b"Connection: close", b"Connection: upgrade",
    b"Upgrade: h2c",
    b"Expect: 100-continue", b"http://other/", b"*", b"localhost:443", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00", b"\xff\xfe", b"a" * 9000, b"X: y\r\n" * 120, b"\r\n\r\n", b"#", b"?", b";",
)  # fmt: skip


def garbage() -> st.SearchStrategy[bytes]:
    """Return what draws bytes that are hardly ever HTTP: fragments of it in any order, and noise."""
    fragment = st.one_of(st.sampled_from(_FRAGMENTS), st.binary(min_size=1, max_size=12))
    return st.lists(fragment, min_size=1, max_size=14).map(b"".join)
