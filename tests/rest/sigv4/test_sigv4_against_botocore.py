"""Random requests: botocore's signatures are accepted, ours are botocore's, and changed requests are refused."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.clients.signing import (
    AT,
    HOST,
    KEY,
    REGION,
    TEMPORARY_KEY,
    by_botocore,
    header,
    unsigned,
    with_header,
)
from tests.support.machine.soak import examples

from thingmint.core.errors import AuthenticationFailure
from thingmint.rest.sigv4.canonical import canonical_path, canonical_query
from thingmint.rest.sigv4.signature import (
    Credentials,
    HttpRequest,
    read_signature,
    require_current,
    require_scope,
    require_signature,
    sign,
    signing_key,
)

METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"])
SEGMENTS = st.one_of(
    st.sampled_from(
        ["", ".", "..", "things", "certificates", "arn%3Aaws%3Aiot", "a%2Fb", "%2e%2e", "~", "a+b", "%", "%zz"]
    ),
    st.text(st.sampled_from("azAZ09-_.~%:@=+,;!$&'()*"), max_size=6),
    st.text(max_size=4).map(lambda text: quote(text, safe="")),
)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda segments: ("/" + "/".join(segments)).encode())
ENCODED = st.text(max_size=6).map(lambda text: quote(text, safe="-_.~"))
NAMES = ENCODED.filter(lambda name: name and not name.startswith("X-Amz"))
QUERIES = st.lists(st.tuples(NAMES, ENCODED), max_size=4, unique_by=lambda pair: pair[0]).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode()
)
VALUES = st.text(st.sampled_from("azAZ09 ;,=/\"'()"), max_size=12).map(str.encode)
HEADERS = st.dictionaries(
    st.sampled_from([b"accept", b"content-type", b"x-amz-user-agent", b"x-amzn-principal", b"range"]),
    VALUES,
    max_size=4,
).map(lambda headers: list(headers.items()))
REQUESTS = st.builds(unsigned, METHODS, PATHS, QUERIES, HEADERS, st.binary(max_size=40))
CREDENTIALS = st.sampled_from([KEY, TEMPORARY_KEY])
EXPIRES = st.none() | st.integers(1, 604_800)


def verify(request: HttpRequest, credentials: Credentials) -> None:
    signed = read_signature(request)
    require_current(signed, AT)
    require_scope(signed, REGION, {"iot"})
    require_signature(signed, signing_key(credentials.secret, signed.claim.scope))


def signed_by_botocore(request: HttpRequest, credentials: Credentials, expires: int | None) -> HttpRequest:
    # botocore moves the body of a request that it signs in the query into that query.
    return by_botocore(replace(request, body=b"") if expires else request, credentials, expires=expires)


@given(REQUESTS, CREDENTIALS, EXPIRES)
@settings(max_examples=examples(50, 600))
def test_what_botocore_signs_is_accepted(request: HttpRequest, credentials: Credentials, expires: int | None) -> None:
    verify(signed_by_botocore(request, credentials, expires), credentials)


@given(REQUESTS, CREDENTIALS, EXPIRES, st.data())
@settings(max_examples=examples(50, 600))
def test_what_is_changed_after_signing_is_refused(
    request: HttpRequest, credentials: Credentials, expires: int | None, data: st.DataObject
) -> None:
    signed = signed_by_botocore(request, credentials, expires)
    names = [name for name, _ in signed.headers]
    manipulations = {
        "method": lambda: replace(signed, method=signed.method + "X"),
        "path": lambda: replace(signed, raw_path=signed.raw_path.rstrip(b"/") + b"/zz"),
        "query": lambda: replace(signed, raw_query=signed.raw_query + b"&zz=1"),
        "body": lambda: replace(signed, body=signed.body + b"\0"),
        "header": lambda: with_header(signed, name := data.draw(st.sampled_from(names)), header(signed, name) + b"0"),
        "header left out": lambda: with_header(signed, data.draw(st.sampled_from(names)), None),
        "unsigned header": lambda: with_header(signed, b"x-amz-zz", b"1"),
        "signature": lambda: flip_signature(signed),
    }
    changed = manipulations[data.draw(st.sampled_from(sorted(manipulations)))]()
    with pytest.raises(AuthenticationFailure):
        verify(changed, credentials)


def flip_signature(signed: HttpRequest) -> HttpRequest:
    def flipped(text: bytes) -> bytes:
        return re.sub(rb"(Signature=)(.)", lambda match: match[1] + (b"1" if match[2] == b"0" else b"0"), text)

    headers = [(name, flipped(value) if name == b"authorization" else value) for name, value in signed.headers]
    return replace(signed, headers=headers, raw_query=flipped(signed.raw_query))


@given(REQUESTS, CREDENTIALS)
@settings(max_examples=examples(30, 300))
def test_own_signature_is_botocores(request: HttpRequest, credentials: Credentials) -> None:
    own = replace(request, headers=[(b"host", HOST.encode()), *request.headers])
    added = sign(own, credentials, REGION, AT)
    sent = replace(own, headers=[*own.headers, *added])
    verify(sent, credentials)
    sha256 = (b"x-amz-content-sha256", header(sent, b"x-amz-content-sha256"))
    judged = by_botocore(replace(request, headers=[*request.headers, sha256]), credentials)
    assert header(sent, b"authorization") == header(judged, b"authorization")


AUTHORIZATIONS = st.one_of(
    st.binary(max_size=80),
    st.lists(
        st.one_of(
            st.sampled_from(
                [b"AWS4-HMAC-SHA256 ", b"Credential=", b"SignedHeaders=", b"Signature=", b", ", b"=", b";"]
            ),
            st.sampled_from([b"AKID/20150830/us-east-1/iot/aws4_request", b"host;x-amz-date", b"host", b"/" * 4]),
            st.binary(max_size=6),
        ),
        max_size=12,
    ).map(b"".join),
)
QUERY_GARBAGE = st.lists(
    st.one_of(
        st.sampled_from([b"X-Amz-Signature=", b"X-Amz-Algorithm=AWS4-HMAC-SHA256", b"X-Amz-Expires=", b"X-Amz-Date="]),
        st.sampled_from([b"X-Amz-Credential=A/20150830/us-east-1/iot/aws4_request", b"X-Amz-SignedHeaders=host", b"&"]),
        st.binary(max_size=6),
    ),
    max_size=16,
).map(b"".join)
HEADER_GARBAGE = st.lists(
    st.tuples(
        st.sampled_from(
            [b"host", b"x-amz-date", b"date", b"x-amz-content-sha256", b"x-amz-security-token", b"x-amz-\xff"]
        ),
        st.one_of(st.binary(max_size=20), st.just(b"20150830T123600Z"), st.just(b"Sun, 30 Aug 2015 12:36:00 GMT")),
    ),
    max_size=5,
)


@given(st.text(max_size=5), st.binary(max_size=20), QUERY_GARBAGE, HEADER_GARBAGE, st.none() | AUTHORIZATIONS)
@settings(max_examples=examples(100, 1500))
def test_garbage_raises_nothing_but_a_failure_of_authentication(
    method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], authorization: bytes | None
) -> None:
    own = [] if authorization is None else [(b"authorization", authorization)]
    with pytest.raises(AuthenticationFailure):
        verify(HttpRequest(method, path, query, [*headers, *own], b""), KEY)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/things", b"/things"),
        (b"/things/", b"/things/"),
        (b"/things//", b"/things/"),
        (b"//things//a//", b"/things/a/"),
        (b"/./", b"/"),
        (b"/./things", b"/things"),
        # RFC 3986 would say /things/ here; AWS's clients do not.
        (b"/things/.", b"/things"),
        (b"/things/a/..", b"/things"),
        (b"/things/a/../", b"/things/"),
        (b"/things/../..", b"/"),
        (b"/../things", b"/things"),
        (b"/attached-policies/arn%3Aaws%3Aiot", b"/attached-policies/arn%253Aaws%253Aiot"),
        (b"/things/a.b", b"/things/a.b"),
        (b"/things/a:b c\xc3\xa9", b"/things/a%3Ab%20c%C3%A9"),
    ],
)
def test_canonical_path(raw: bytes, canonical: bytes) -> None:
    assert canonical_path(raw) == canonical


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"", b""),
        (b"b=2&a=1", b"a=1&b=2"),
        (b"a", b"a="),
        (b"a=", b"a="),
        (b"a=2&a=1&a=10", b"a=1&a=10&a=2"),
        (b"A=1&a=1", b"A=1&a=1"),
        (b"&&a=1&", b"a=1"),
        (b"a=b=c", b"a=b%3Dc"),
        (b"a=%7e%2f%3a", b"a=~%2F%3A"),
        (b"a=b+c%20d%2b", b"a=b%2Bc%20d%2B"),
        (b"a=%zz\xff", b"a=%25zz%FF"),
        (b"a=/@:", b"a=%2F%40%3A"),
    ],
)
def test_canonical_query(raw: bytes, canonical: bytes) -> None:
    assert canonical_query(raw) == canonical
