"""The parser's edge against hostile bytes: how they are cut changes nothing, and no request is seen that is not there.

A reference of its own, as strict as RFC 9112 allows, reads the same bytes. What it does not see, the service must not
serve; what both see must be the same. Proxies that read more leniently can then smuggle nothing past the service.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.rest.http.limits import Limits
from thingmint.rest.http.protocol.head import RequestRefused
from thingmint.rest.http.protocol.request_parser import NothingMore, RequestHead, RequestParser

HOST = b"Host: localhost\r\n"
GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /b?c=%20d HTTP/1.1\r\n" + HOST


@dataclass(frozen=True)
class Seen:
    """A request as it was understood."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass
class Listener:
    """Gathers the requests that a parser reports."""

    requests: list[Seen] = field(default_factory=list)
    begun: RequestHead | None = None
    body: bytes = b""

    def request_begins(self) -> None:
        assert self.begun is None

    def head_ends(self, head: RequestHead) -> None:
        self.begun, self.body = head, b""

    def body_part(self, part: bytes) -> None:
        assert self.begun is not None
        assert part
        self.body += part

    def request_ends(self) -> None:
        assert self.begun is not None
        seen = Seen(self.begun.method, self.begun.target, tuple(self.begun.headers), self.body)
        self.requests.append(seen)
        self.begun = None


@dataclass(frozen=True)
class Understood:
    """What became of some bytes: whole requests, whether one more has a good head, and what ended the connection."""

    requests: tuple[Seen, ...]
    has_more: bool
    end: int | str | None


def understood(*pieces: bytes) -> Understood:
    listener = Listener()
    end: int | str | None = None
    parser = RequestParser(listener, Limits())
    for piece in pieces:
        try:
            parser.feed(piece)
        except RequestRefused as refused:
            end = refused.refusal.status
            break
        except NothingMore:
            end = "nothing more"
            break
    return Understood(tuple(listener.requests), listener.begun is not None, end)


# The reference

_METHODS = re.compile(rb"[A-Z][A-Z-]*")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(.*)", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")


def reference(data: bytes) -> list[Seen]:
    """Return the requests that the bytes begin with, by the grammar of RFC 9112 without any leniency."""
    requests: list[Seen] = []
    while True:
        # RFC 9112, 2.2 and 3: the parser passes over line ends before a request, and over more than one space
        # between the parts of its first line. Neither changes where a request begins and ends.
        data = data.lstrip(b"\r\n")
        head, end, rest = data.partition(b"\r\n\r\n")
        read = _read_head(head) if end else None
        if read is None:
            return requests
        method, target, version, headers = read
        body_and_rest = _read_body(headers, version, rest)
        if body_and_rest is None:
            return requests
        body, data = body_and_rest
        requests.append(Seen(method.decode(), target, headers, body))
        if version == b"1.0" or any(name == b"connection" and b"close" in value.lower() for name, value in headers):
            return requests


def _read_head(head: bytes) -> tuple[bytes, bytes, bytes, tuple[tuple[bytes, bytes], ...]] | None:
    line, *fields = head.split(b"\r\n")
    words = re.split(rb" +", line)
    if len(words) != 3 or words[2] not in (b"HTTP/1.0", b"HTTP/1.1"):
        return None
    # RFC 9112, 3.2.2: absolute-form is served as origin-form, and its authority is that of Host.
    absolute = _ABSOLUTE.fullmatch(words[1])
    target = words[1] if absolute is None else absolute[2] if absolute[2][:1] == b"/" else b"/" + absolute[2]
    if not _METHODS.fullmatch(words[0]) or not _TARGET.fullmatch(target):
        return None
    headers = []
    for each in fields:
        name, colon, value = each.partition(b":")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        headers.append((name.lower(), value.strip(b" \t")))
    hosts = [value.lower() for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (words[2] == b"HTTP/1.1" and not hosts):
        return None
    if absolute is not None and hosts and hosts != [absolute[1].lower()]:
        return None
    return words[0], target, words[2][5:], tuple(headers)


def _read_body(headers: tuple[tuple[bytes, bytes], ...], version: bytes, rest: bytes) -> tuple[bytes, bytes] | None:
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if codings:
        if lengths or version == b"1.0" or [coding.lower() for coding in codings] != [b"chunked"]:
            return None
        return _read_chunks(rest)
    if len(lengths) > 1 or any(not re.fullmatch(rb"[0-9]{1,19}", length) for length in lengths):
        return None
    length = int(lengths[0]) if lengths else 0
    return (rest[:length], rest[length:]) if len(rest) >= length else None


def _read_chunks(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        line, end, rest = rest.partition(b"\r\n")
        matched = _CHUNK.fullmatch(line)
        if not end or matched is None:
            return None
        size = int(matched[1], 16)
        if size == 0:
            break
        if rest[size : size + 2] != b"\r\n" or len(rest) < size + 2:
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            return None
        if not line:
            return body, rest
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None


def require_nothing_smuggled(data: bytes) -> None:
    seen, wanted = understood(data), reference(data)
    assert list(seen.requests) == wanted[: len(seen.requests)]


# Known ways of being understood in two ways

SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
UPGRADE = b"Connection: upgrade\r\nUpgrade: h2c\r\n"
REFUSED = {
    "Content-Length and Transfer-Encoding": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "Transfer-Encoding and Content-Length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two Content-Lengths": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "the same Content-Length twice": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of Content-Lengths": POST + b"Content-Length: 0, 44\r\n\r\n",
    "a Content-Length with a sign": POST + b"Content-Length: +0\r\n\r\n",
    "a negative Content-Length": POST + b"Content-Length: -1\r\n\r\n",
    "a Content-Length with an underscore": POST + b"Content-Length: 4_4\r\n\r\n",
    "a Content-Length with a space inside": POST + b"Content-Length: 4 4\r\n\r\n",
    "a Content-Length in hexadecimal": POST + b"Content-Length: 0x0\r\n\r\n",
    "a Content-Length in quotes": POST + b'Content-Length: "0"\r\n\r\n',
    "a Content-Length with a fraction": POST + b"Content-Length: 0.0\r\n\r\n",
    "a Content-Length in other digits": POST + "Content-Length: ٠\r\n\r\n".encode(),
    "a Content-Length beyond 64 bits": POST + b"Content-Length: 18446744073709551616\r\n\r\n",
    "a Content-Length of 21 digits": POST + b"Content-Length: 000000000000000000044\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 44\r\n\r\n",
    "a tab before the colon": POST + b"Content-Length\t: 44\r\n\r\n",
    "a space before the name": POST + b" Content-Length: 44\r\n\r\n",
    "a NUL in the name": POST + b"Content\0-Length: 44\r\n\r\n",
    "a NUL in the value": POST + b"Content-Length: 44\0\r\n\r\n",
    "a vertical tab in a coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a bare CR before a field": POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare LF before a field": POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare LF at the end of the head": POST + b"Content-Length: 0\r\n\n",
    "bare LFs": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a folded field": POST + b"X: a\r\n\tb\r\n\r\n",
    "a coding that is not known": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked and identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity and chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "chunked with a comma": POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "chunks over HTTP/1.0": b"POST /b HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
    "a chunk's size with a sign": POST + CHUNKED + b"\r\n+1\r\na\r\n0\r\n\r\n",
    "a chunk's size with a prefix": POST + CHUNKED + b"\r\n0x1\r\na\r\n0\r\n\r\n",
    "a chunk's size with an underscore": POST + CHUNKED + b"\r\n0_1\r\na\r\n0\r\n\r\n",
    "a chunk's size behind a space": POST + CHUNKED + b"\r\n 1\r\na\r\n0\r\n\r\n",
    "a chunk's size of 17 digits": POST + CHUNKED + b"\r\n10000000000000001\r\na\r\n0\r\n\r\n",
    "a chunk's size before a bare LF": POST + CHUNKED + b"\r\n1\na\r\n0\r\n\r\n",
    "a chunk before a bare LF": POST + CHUNKED + b"\r\n1\r\na\n0\r\n\r\n",
    "a chunk's extension with a bare LF": POST + CHUNKED + b"\r\n1;a\nb\r\na\r\n0\r\n\r\n",
    "a chunk's extension with a bare CR": POST + CHUNKED + b"\r\n1;a\rb\r\na\r\n0\r\n\r\n",
    "a chunk longer than its size": POST + CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n",
    "a last chunk before bare LFs": POST + CHUNKED + b"\r\n0\n\n",
    "a folded trailer": POST + CHUNKED + b"\r\n0\r\nX: a\r\n b\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "absolute-form with another host": b"GET http://other/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute-form with a user": b"GET http://a@localhost/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute-form of another scheme": b"GET ws://localhost/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority-form": b"CONNECT other:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk-form": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT to a path": b"CONNECT /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/01.1": b"GET / HTTP/01.1\r\n" + HOST + b"\r\n",
    "a protocol in lower case": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "a tab before the target": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space after the version": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "an upgrade with two lengths": POST + UPGRADE + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "an upgrade with a length twice": POST + UPGRADE + b"Content-Length: 0\r\nContent-Length: 1\r\n\r\na",
    "an upgrade with a coding in HTTP/1.0": b"POST / HTTP/1.0\r\n" + UPGRADE + CHUNKED + b"\r\n0\r\n\r\n",
}

SERVED = {
    "a request": (GET, 1),
    "empty lines first": (b"\r\n\r\n" + GET, 1),
    "two requests": (GET + GET, 2),
    "spaces in the first line": (b"GET  /a   HTTP/1.1\r\n" + HOST + b"\r\n", 1),
    "absolute-form": (b"GET http://localhost/a?b HTTP/1.1\r\n" + HOST + b"\r\n", 1),
    "absolute-form without a path": (b"GET HTTPS://LOCALHOST?b HTTP/1.1\r\n" + HOST + b"\r\n", 1),
    "bodies": (POST + b"Content-Length: 3\r\n\r\nabc" + POST + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n" + GET, 3),
    "leading zeros": (POST + b"Content-Length: 003\r\n\r\nabc" + POST + CHUNKED + b"\r\n003\r\nabc\r\n000\r\n\r\n", 2),
    "spaces around values": (POST + b"Content-Length: \t 3 \t\r\n\r\nabc", 1),
    "a coding in capitals": (POST + b"TRANSFER-ENCODING: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 1),
    "extensions and trailers": (POST + CHUNKED + b"\r\n1;a=b\r\nx\r\n0;c\r\nX-T: v\r\n\r\n" + GET, 2),
    "a body that looks like a request": (POST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED + GET, 2),
    "a body of GET": (b"GET /a HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 1),
    "HTTP/1.0": (b"GET /a HTTP/1.0\r\n\r\n", 1),
    "bytes beyond ASCII in a value": (b"GET /a HTTP/1.1\r\n" + HOST + b"X: \xc3\xa9\xff\r\n\r\n", 1),
    "the last request": (b"GET /a HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n" + SMUGGLED, 1),
    "an upgrade": (b"GET /a HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n", 1),
    "an upgrade with a body": (POST + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 1),
    "an upgrade with chunks": (POST + UPGRADE + CHUNKED + b"\r\n3;x\r\nabc\r\n0\r\nX-T: v\r\n\r\n", 1),
    "an upgrade with an empty body": (POST + UPGRADE + b"Content-Length: 00\r\n\r\n", 1),
    "an upgrade in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + UPGRADE + b"Content-Length: 3\r\n\r\nabc", 1),
    "HTTP/1.0 and more": (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + SMUGGLED, 1),
}


@pytest.mark.parametrize("spelling", REFUSED)
def test_what_may_be_understood_in_two_ways_is_refused(spelling: str) -> None:
    seen = understood(REFUSED[spelling] + SMUGGLED)
    assert seen.requests == ()
    assert seen.end == 400


def test_a_malformed_body_behind_an_upgrade_is_no_fault_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    assert understood(POST + UPGRADE + CHUNKED + b"\r\nx\r\n").end == 400
    assert understood(POST + UPGRADE + CHUNKED + b"\r\n1\r\na\r\n0\r\nX: \0\r\n\r\n").end == 400
    assert caplog.records == []


@pytest.mark.parametrize("spelling", SERVED)
def test_what_has_one_meaning_is_understood_as_the_reference_does(spelling: str) -> None:
    data, count = SERVED[spelling]
    seen = understood(data)
    assert list(seen.requests) == reference(data)
    assert len(seen.requests) == count
    assert not seen.has_more


@pytest.mark.parametrize("spelling", [*REFUSED, *SERVED])
def test_where_bytes_are_cut_changes_nothing(spelling: str) -> None:
    data = REFUSED[spelling] + SMUGGLED if spelling in REFUSED else SERVED[spelling][0]
    whole = understood(data)
    for at in range(1, len(data)):
        assert understood(data[:at], data[at:]) == whole, at
    assert understood(*(data[at : at + 1] for at in range(len(data)))) == whole


_LINES = st.sampled_from(
    [b"GET /a HTTP/1.1", b"POST /b HTTP/1.1", b"POST /b HTTP/1.0", b"GET http://x/ HTTP/1.1",
     b"GET http://localhost/c HTTP/1.1", b"Host: localhost", b"Host: other", b"Content-Length: 5",
     b"Content-Length: 0", b"Content-Length:5", b"Content-Length : 5",
     b"Content-Length: 5, 5", b"content-length: +5", b"Transfer-Encoding: chunked", b"Transfer-Encoding:  chunked ",
     b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked", b"transfer-encoding:\tchunked",
     b"Transfer-Encoding: chunked\x0b", b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade",
     b"Upgrade: h2c", UPGRADE[:-2],
     b"Expect: 100-continue", b" folded", b"X: y", b"X", b": y", b"0", b"5", b"00005", b"5;x=y",
     b"5 ", b" 5", b"0x5", b"hello", b"", b""]
)  # fmt: skip
_ENDS = st.sampled_from([*[b"\r\n"] * 6, b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\0\r\n"])
_NOISE = st.one_of(
    st.sampled_from([b"\0", b"\t", b" ", b"\r", b"\n", b"\x7f", b"\x80", b":", b";"]), st.binary(max_size=3)
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Draw lines of requests in any order, which sometimes end as no line should."""
    pairs = st.tuples(_LINES, _ENDS)
    return GET * draw(st.integers(0, 1)) + b"".join(line + end for line, end in draw(st.lists(pairs, max_size=14)))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw requests into which a few bytes have been put, or of which some are missing."""
    data = b"".join(each for each, _ in draw(st.lists(st.sampled_from(list(SERVED.values())), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(_NOISE) + data[at + draw(st.integers(0, 3)) :]
    return data


@given(lines())
def test_no_order_of_lines_smuggles_a_request(data: bytes) -> None:
    require_nothing_smuggled(data)


@given(damaged())
def test_no_damage_smuggles_a_request(data: bytes) -> None:
    require_nothing_smuggled(data)


@given(st.one_of(lines(), damaged()), st.lists(st.integers(0, 400), max_size=5))
def test_where_hostile_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(places) if begin < end]
    assert understood(*pieces) == understood(data)
