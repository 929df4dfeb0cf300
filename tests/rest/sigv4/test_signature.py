"""Signatures by botocore are accepted, and refused as soon as anything that they cover is another."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from msgspec import structs
from tests.support.clients.signing import (
    AT,
    HOST,
    KEY,
    REGION,
    SERVICE,
    TEMPORARY_KEY,
    by_botocore,
    header,
    unsigned,
    with_header,
)

from thingmint.core.errors import (
    AuthenticationFailure,
    AuthenticationMissing,
    SignatureIncomplete,
    SignatureRefused,
)
from thingmint.rest.sigv4.signature import (
    Credentials,
    CredentialScope,
    HttpRequest,
    read_signature,
    require_current,
    require_scope,
    require_signature,
    sign,
    signing_key,
)

CSR = b'{"certificateSigningRequest":"-----BEGIN"}'
SHA256 = b"x-amz-content-sha256"


def verify(request: HttpRequest, credentials: Credentials = KEY, now: datetime = AT) -> None:
    signed = read_signature(request)
    require_current(signed, now)
    require_scope(signed, REGION, {SERVICE})
    require_signature(signed, signing_key(credentials.secret, signed.claim.scope))


def post(**changes: object) -> HttpRequest:
    plain = unsigned("POST", b"/certificates", b"setAsActive=true", [(b"content-type", b"application/json")], CSR)
    return by_botocore(structs.replace(plain, **changes))


def presigned(expires: int = 900) -> HttpRequest:
    return by_botocore(unsigned(raw_path=b"/endpoint", raw_query=b"endpointType=iot%3AData-ATS"), expires=expires)


def test_signature_in_the_header_is_accepted() -> None:
    verify(post())


def test_signature_in_the_query_is_accepted() -> None:
    verify(presigned())


@pytest.mark.parametrize(
    ("vector", "canonical_signature"),
    [
        # The published vectors get-vanilla and post-vanilla of AWS's Signature Version 4 test suite.
        ("GET", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ],
)
def test_vectors_of_the_published_suite_are_accepted(vector: str, canonical_signature: str) -> None:
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={canonical_signature}"
    )
    headers = [
        (b"host", b"example.amazonaws.com"),
        (b"x-amz-date", b"20150830T123600Z"),
        (b"authorization", authorization.encode()),
    ]
    signed = read_signature(unsigned(vector, b"/", headers=headers))
    require_signature(signed, signing_key(KEY.secret, signed.claim.scope))


def test_session_token_is_read_from_the_header() -> None:
    request = by_botocore(unsigned(), TEMPORARY_KEY)
    verify(request)
    assert read_signature(request).claim.session_token == TEMPORARY_KEY.session_token


def test_session_token_is_read_from_the_query() -> None:
    request = by_botocore(unsigned(), TEMPORARY_KEY, expires=60)
    verify(request)
    assert read_signature(request).claim.session_token == TEMPORARY_KEY.session_token


def test_session_token_behind_the_signature_is_not_signed() -> None:
    signed = by_botocore(unsigned(), KEY, expires=60)
    request = structs.replace(signed, raw_query=signed.raw_query + b"&X-Amz-Security-Token=a%2Fb%2B")
    claimed = read_signature(request, signs_token=False)
    require_signature(claimed, signing_key(KEY.secret, claimed.claim.scope))
    assert claimed.claim.session_token == "a/b+"
    with pytest.raises(SignatureRefused):
        verify(request)


def test_session_token_that_was_signed_is_refused_where_it_must_not_be() -> None:
    claimed = read_signature(by_botocore(unsigned(), TEMPORARY_KEY, expires=60), signs_token=False)
    with pytest.raises(SignatureRefused):
        require_signature(claimed, signing_key(TEMPORARY_KEY.secret, claimed.claim.scope))


def test_secrets_are_in_no_repr() -> None:
    signed = read_signature(by_botocore(unsigned(), TEMPORARY_KEY))
    shown = repr((signed, TEMPORARY_KEY))
    assert TEMPORARY_KEY.secret not in shown
    assert str(TEMPORARY_KEY.session_token) not in shown
    assert signed.claim.signature not in shown


def test_date_header_stands_in_for_the_amazon_date() -> None:
    request = by_botocore(unsigned(headers=[(b"date", b"any")]))
    assert header(request, b"date") == b"Sun, 30 Aug 2015 12:36:00 -0000"
    verify(request)


@pytest.mark.parametrize("text", [b"20150830T123600Z", b"Sun, 30 Aug 2015 12:36:00 GMT"])
def test_date_header_may_be_written_in_two_ways(text: bytes) -> None:
    request = by_botocore(unsigned())
    moved = with_header(with_header(request, b"x-amz-date", None), b"date", text)
    assert read_signature(swap(b";x-amz-date", b";date")(moved)).claim.signed_at == AT


def test_date_header_does_not_replace_a_signed_amazon_date() -> None:
    request = by_botocore(unsigned())
    stamp = header(request, b"x-amz-date")
    moved = with_header(with_header(request, b"x-amz-date", None), b"date", stamp)
    with pytest.raises(SignatureRefused, match="'x-amz-date' is signed and not in the request"):
        verify(moved)


def test_same_signature_is_accepted_twice() -> None:
    request = post()
    verify(request)
    verify(request)


@pytest.mark.parametrize(
    "order",
    [b"host;x-amz-date", b"host;x-amz-date;x-amz-user-agent;accept", b"accept;host;user-agent;x-amz-date"],
)
def test_every_list_of_signed_headers_is_followed(order: bytes) -> None:
    extra = [(b"accept", b" */* ,  text/html"), (b"user-agent", b"curl/8"), (b"x-amz-user-agent", b"aws-sdk-js/3")]
    names = order.split(b";")
    own = [(name, value) for name, value in extra if name in names]
    request = HttpRequest("GET", b"/certificates", b"", [(b"host", HOST.encode()), *own], b"")
    signed = sign(request, KEY, REGION, AT)
    verify(structs.replace(request, headers=[*request.headers, *signed]))


def test_trace_header_of_a_load_balancer_needs_no_signature() -> None:
    verify(with_header(post(), b"x-amzn-trace-id", b"Root=1-67891233-abcdef012345678912345678"))


def test_header_that_is_not_amazons_needs_no_signature() -> None:
    verify(with_header(post(), b"amz-sdk-request", b"attempt=2; max=5"))


def swap(old: bytes, new: bytes) -> Callable[[HttpRequest], HttpRequest]:
    def change(request: HttpRequest) -> HttpRequest:
        authorization = header(request, b"authorization")
        assert old in authorization
        return with_header(request, b"authorization", authorization.replace(old, new))

    return change


def swap_query(old: bytes, new: bytes) -> Callable[[HttpRequest], HttpRequest]:
    def change(request: HttpRequest) -> HttpRequest:
        assert old in request.raw_query
        return structs.replace(request, raw_query=request.raw_query.replace(old, new))

    return change


def duplicate(name: bytes) -> Callable[[HttpRequest], HttpRequest]:
    return lambda request: structs.replace(request, headers=[*request.headers, (name, header(request, name))])


def set_header(name: bytes, value: bytes | None) -> Callable[[HttpRequest], HttpRequest]:
    return lambda request: with_header(request, name, value)


def set_field(**changes: object) -> Callable[[HttpRequest], HttpRequest]:
    return lambda request: structs.replace(request, **changes)


Manipulation = tuple[Callable[[HttpRequest], HttpRequest], type[AuthenticationFailure], str]

OF_HEADER: dict[str, Manipulation] = {
    "method": (set_field(method="PUT"), SignatureRefused, "does not match the signature you provided"),
    "path": (set_field(raw_path=b"/certificate"), SignatureRefused, "does not match"),
    "path case": (set_field(raw_path=b"/Certificates"), SignatureRefused, "does not match"),
    "path escape": (set_field(raw_path=b"/certificate%73"), SignatureRefused, "does not match"),
    "path slash": (set_field(raw_path=b"/certificates/"), SignatureRefused, "does not match"),
    "query value": (set_field(raw_query=b"setAsActive=false"), SignatureRefused, "does not match"),
    "query added": (set_field(raw_query=b"setAsActive=true&a="), SignatureRefused, "does not match"),
    "query repeated": (set_field(raw_query=b"setAsActive=true&setAsActive=true"), SignatureRefused, "does not match"),
    "query dropped": (set_field(raw_query=b""), SignatureRefused, "does not match"),
    "body": (set_field(body=CSR + b" "), SignatureRefused, "does not match"),
    "body dropped": (set_field(body=b""), SignatureRefused, "does not match"),
    "host": (set_header(b"host", b"example.com"), SignatureRefused, "does not match"),
    "host dropped": (set_header(b"host", None), SignatureRefused, "'host' is signed and not in the request"),
    "content type": (set_header(b"content-type", b"text/plain"), SignatureRefused, "does not match"),
    "content type twice": (duplicate(b"content-type"), SignatureRefused, "does not match"),
    "time": (set_header(b"x-amz-date", b"20150830T123601Z"), SignatureRefused, "does not match"),
    "time late": (set_header(b"x-amz-date", b"20150830T124101Z"), SignatureRefused, "still later than"),
    "time early": (set_header(b"x-amz-date", b"20150830T123059Z"), SignatureRefused, "now earlier than"),
    "time of no day": (set_header(b"x-amz-date", b"20151330T123600Z"), SignatureIncomplete, "basic format"),
    "time in words": (set_header(b"x-amz-date", b"now"), SignatureIncomplete, "basic format"),
    "time in other digits": (
        set_header(b"x-amz-date", "２０１５0830T123600Z".encode()),
        SignatureIncomplete,
        "beyond ASCII",
    ),
    "time dropped": (
        set_header(b"x-amz-date", None),
        SignatureIncomplete,
        "requires existence of either a 'X-Amz-Date'",
    ),
    "time twice": (duplicate(b"x-amz-date"), SignatureIncomplete, "x-amz-date appears more than once"),
    "time moved to Date, of no day": (
        lambda request: with_header(
            with_header(request, b"x-amz-date", None), b"date", b"Sun, 31 Feb 2015 12:36:00 GMT"
        ),
        SignatureIncomplete,
        "not a date",
    ),
    "no authorization": (set_header(b"authorization", None), AuthenticationMissing, "Missing Authentication Token"),
    "two authorizations": (duplicate(b"authorization"), SignatureIncomplete, "one signature"),
    "another scheme": (set_header(b"authorization", b"Basic YTpi"), SignatureIncomplete, "'Credential' parameter"),
    "another algorithm": (swap(b"HMAC-SHA256", b"HMAC-SHA512"), SignatureIncomplete, "'Signature' parameter"),
    "no text": (set_header(b"authorization", b""), SignatureIncomplete, "requires 'Credential' parameter"),
    "beyond ASCII": (set_header(b"authorization", b"AWS4-HMAC-SHA256 \xff"), SignatureIncomplete, "beyond ASCII"),
    "no equal sign": (swap(b"Signature=", b"Signature:"), SignatureIncomplete, "missing equal-sign"),
    "parameter twice": (swap(b", Signature=", b", SignedHeaders=host, Signature="), SignatureIncomplete, "twice"),
    "no credential": (swap(b"Credential=", b"Other="), SignatureIncomplete, "'Credential' parameter"),
    "no signed headers": (swap(b"SignedHeaders=", b"Other="), SignatureIncomplete, "'SignedHeaders' parameter"),
    "empty signature": (lambda request: swap(signature_of(request), b"")(request), SignatureIncomplete, "'Signature'"),
    "another signature": (
        lambda request: swap(signature_of(request), b"0" * 64)(request),
        SignatureRefused,
        "does not match",
    ),
    "half a signature": (
        lambda request: swap(signature_of(request), signature_of(request)[:32])(request),
        SignatureRefused,
        "does not match",
    ),
    "signature in capitals": (
        lambda request: swap(signature_of(request), signature_of(request).upper())(request),
        SignatureRefused,
        "does not match",
    ),
    "scope date": (swap(b"/20150830/", b"/20150831/"), SignatureRefused, "Date in Credential scope does not match"),
    "scope region": (swap(b"/us-east-1/", b"/eu-west-1/"), SignatureRefused, "valid region, not 'eu-west-1'"),
    "scope service": (swap(b"/iot/", b"/s3/"), SignatureRefused, "correct service: 'iot'"),
    "scope terminator": (swap(b"/aws4_request", b"/aws4"), SignatureRefused, "valid terminator: 'aws4_request'"),
    "credential parts": (swap(b"/iot/", b"/"), SignatureIncomplete, "exactly 5 slash-delimited elements"),
    "credential with a space": (swap(b"AKIDEXAMPLE", b"AKID EXAMPLE"), SignatureIncomplete, "exactly 5"),
    "no access key id": (swap(b"AKIDEXAMPLE", b""), SignatureIncomplete, "1 to 128 characters"),
    "long access key id": (swap(b"AKIDEXAMPLE", b"A" * 129), SignatureIncomplete, "1 to 128 characters"),
    "day 0": (set_header(b"x-amz-date", b"20150800T123600Z"), SignatureIncomplete, "basic format"),
    "host not signed": (swap(b"host;", b""), SignatureRefused, "'host' must be a 'SignedHeader'"),
    "date not signed": (swap(b";x-amz-date", b""), SignatureRefused, "'x-amz-date' must be a 'SignedHeader'"),
    "content type not signed": (swap(b"content-type;", b""), SignatureRefused, "does not match"),
    "signed headers in capitals": (swap(b"host;", b"Host;"), SignatureIncomplete, "in lower case"),
    "signed header twice": (swap(b"host;", b"host;host;"), SignatureIncomplete, "each once"),
    "signed headers reordered": (swap(b"content-type;host", b"host;content-type"), SignatureRefused, "does not match"),
    "unsigned amazon header": (set_header(b"x-amz-meta", b"1"), SignatureRefused, "'x-amz-meta' must be"),
    "unsigned principal": (set_header(b"x-amzn-principal", b"arn"), SignatureRefused, "'x-amzn-principal' must be"),
    "unsigned token": (set_header(b"x-amz-security-token", b"t"), SignatureRefused, "'x-amz-security-token' must"),
    "signature in the query as well": (
        lambda request: structs.replace(request, raw_query=presigned().raw_query),
        SignatureIncomplete,
        "one signature",
    ),
}


def signature_of(request: HttpRequest) -> bytes:
    return header(request, b"authorization").partition(b"Signature=")[2]


@pytest.mark.parametrize("name", OF_HEADER)
def test_manipulation_of_a_request_signed_in_the_header_is_refused(name: str) -> None:
    manipulate, error, reason = OF_HEADER[name]
    with pytest.raises(error) as refusal:
        verify(manipulate(post()))
    assert type(refusal.value) is error
    assert reason in refusal.value.message


OF_QUERY: dict[str, Manipulation] = {
    "method": (set_field(method="DELETE"), SignatureRefused, "does not match"),
    "path": (set_field(raw_path=b"/certificates"), SignatureRefused, "does not match"),
    "body": (set_field(body=b"{}"), SignatureRefused, "does not match"),
    "own parameter": (swap_query(b"Data-ATS", b"Data"), SignatureRefused, "does not match"),
    "algorithm": (swap_query(b"AWS4-HMAC-SHA256", b"AWS4"), SignatureIncomplete, "Unsupported AWS 'algorithm'"),
    "credential": (swap_query(b"us-east-1", b"us-east-2"), SignatureRefused, "valid region"),
    "credential with a line feed": (swap_query(b"AKID", b"AK%0AID"), SignatureIncomplete, "exactly 5"),
    "date": (swap_query(b"T123600Z", b"T123601Z"), SignatureRefused, "does not match"),
    "expires": (swap_query(b"Expires=900", b"Expires=901"), SignatureRefused, "does not match"),
    "expires at once": (swap_query(b"Expires=900", b"Expires=0"), SignatureIncomplete, "from 1 to 604800"),
    "expires too late": (swap_query(b"Expires=900", b"Expires=604801"), SignatureIncomplete, "from 1 to 604800"),
    "expires in words": (swap_query(b"Expires=900", b"Expires=soon"), SignatureIncomplete, "from 1 to 604800"),
    "expires never": (swap_query(b"X-Amz-Expires=900&", b""), SignatureRefused, "does not match"),
    "parameter twice": (swap_query(b"X-Amz-Date=", b"X-Amz-Date=1&X-Amz-Date="), SignatureIncomplete, "twice"),
    "parameter missing": (swap_query(b"X-Amz-Date=", b"X-Date="), SignatureIncomplete, "include 'X-Amz-Date'"),
    "parameter beyond ASCII": (swap_query(b"X-Amz-Date=", b"X-Amz-Date=%ff"), SignatureIncomplete, "beyond ASCII"),
    "token added": (
        swap_query(b"X-Amz-Date=", b"X-Amz-Security-Token=t&X-Amz-Date="),
        SignatureRefused,
        "does not match",
    ),
    "no parameter of a signature": (set_field(raw_query=b"a=1"), AuthenticationMissing, "Missing Authentication"),
    "name of the signature escaped": (
        swap_query(b"X-Amz-Signature", b"X%2DAmz-Signature"),
        SignatureRefused,
        "does not match",
    ),
}


@pytest.mark.parametrize("name", OF_QUERY)
def test_manipulation_of_a_request_signed_in_the_query_is_refused(name: str) -> None:
    manipulate, error, reason = OF_QUERY[name]
    with pytest.raises(error) as refusal:
        verify(manipulate(presigned()))
    assert type(refusal.value) is error
    assert reason in refusal.value.message


def test_hash_of_the_body_that_was_sent_along_must_be_the_bodys() -> None:
    request = by_botocore(unsigned("POST", headers=[(SHA256, b"0" * 64)], body=CSR))
    with pytest.raises(SignatureRefused, match="'x-amz-content-sha256' header does not match"):
        verify(request)


@pytest.mark.parametrize("text", [b"UNSIGNED-PAYLOAD", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
def test_body_without_protection_is_refused(text: bytes) -> None:
    request = by_botocore(unsigned("POST", headers=[(SHA256, text)], body=CSR))
    with pytest.raises(SignatureRefused, match="'x-amz-content-sha256' header does not match"):
        verify(request)


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_clocks_may_differ_by_five_minutes(seconds: int) -> None:
    verify(post(), now=AT + timedelta(seconds=seconds))


def test_old_signature_is_refused_in_the_words_of_aws() -> None:
    with pytest.raises(SignatureRefused) as refusal:
        verify(post(), now=AT + timedelta(seconds=301))
    assert refusal.value.message == (
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    )


def test_early_signature_is_refused_in_the_words_of_aws() -> None:
    with pytest.raises(SignatureRefused) as refusal:
        verify(post(), now=AT - timedelta(seconds=301))
    assert refusal.value.message == (
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    )


def test_presigned_url_lives_as_long_as_it_says() -> None:
    request = presigned(expires=900)
    verify(request, now=AT + timedelta(seconds=900))
    with pytest.raises(SignatureRefused, match=r"\(20150830T125101Z - 900 sec\.\)"):
        verify(request, now=AT + timedelta(seconds=901))


def test_presigned_url_from_the_future_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="still later than"):
        verify(presigned(), now=AT - timedelta(seconds=301))


def test_scope_of_another_day_is_refused_in_the_words_of_aws() -> None:
    with pytest.raises(SignatureRefused) as refusal:
        verify(swap(b"/20150830/", b"/20150829/")(post()))
    assert refusal.value.message == (
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        "'20150829' != '20150830', from '20150830T123600Z'."
    )


def test_every_allowed_service_is_accepted() -> None:
    signed = read_signature(by_botocore(unsigned(), service="execute-api"))
    require_scope(signed, REGION, {"iot", "execute-api"})
    with pytest.raises(SignatureRefused, match="correct service: 'iot' or 'iotdata'"):
        require_scope(signed, REGION, {"iot", "iotdata"})


def test_another_secret_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="Check your AWS Secret Access Key"):
        verify(post(), replace(KEY, secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEZ"))


def test_refusals_show_no_other_schemes_password() -> None:
    with pytest.raises(SignatureIncomplete) as refusal:
        verify(set_header(b"authorization", b"Basic dXNlcjpwYXNzd29yZA==")(post()))
    assert "dXNlcjpwYXNzd29yZA" not in refusal.value.message
    assert "Hashed with SHA-256" in refusal.value.message


def test_own_signature_names_the_headers_in_order() -> None:
    request = HttpRequest("GET", b"/", b"", [(b"host", b"h"), (b"user-agent", b"u"), (b"accept", b"*")], b"")
    headers = dict(sign(request, TEMPORARY_KEY, REGION, AT))
    assert (
        b"SignedHeaders=accept;host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in headers[b"authorization"]
    )


def test_signing_key_is_that_of_the_published_example() -> None:
    # "Examples of how to derive a signing key for Signature Version 4" in AWS's general reference.
    scope = CredentialScope("20120215", "us-east-1", "iam")
    expected = "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
    assert signing_key(KEY.secret, scope).hex() == expected
