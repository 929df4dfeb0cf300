"""What was handed out once is kept nowhere: private keys and secrets are looked for in all that the service leaves."""

import base64
import secrets
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.clients.aws import Live, allow, policy
from tests.support.machine.required import required_program

pytestmark = pytest.mark.engines

AT_LEAST = 20
BLOCK = 32
"""Octets. A text of twice as many includes one of the blocks into which what is searched is divided."""


@pytest.fixture
def traces(live: Live) -> dict[str, bytes]:
    """Everything that the service has written, by name."""
    service = live.service
    files = [path for path in service.data_dir.rglob("*") if path.is_file()]
    written = {str(path.relative_to(service.data_dir)): path.read_bytes() for path in files}
    written["the log"] = service.log_file.read_bytes()
    written["standard output"] = "".join(service.greeting).encode()
    if live.database_url is not None:
        dump = [required_program("pg_dump"), "--no-owner", f"--dbname={live.database_url}"]
        written["the database"] = subprocess.run(dump, check=True, capture_output=True).stdout
    return written


def needles(pem: str) -> Iterable[bytes]:
    """Yield the forms in which a private key, or a part that gives it away, might be kept."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    body = pem.splitlines()[1:-1]
    yield from encodings_of(pem.encode())
    # The first lines tell the version and the modulus, which is public; any later one is enough to notice a copy.
    # A dump of the database shows bytes in hexadecimal.
    yield from (form for line in body[6:-1] for form in (line.encode(), line.encode().hex().encode()))
    secret_parts = [
        base64.b64decode("".join(body)),
        *(number.to_bytes(128, "big") for number in (numbers.p, numbers.q)),
    ]
    secret_parts.append(numbers.d.to_bytes(256, "big"))
    for part in secret_parts:
        yield from encodings_of(part)
    yield from (str(number).encode() for number in (numbers.p, numbers.q, numbers.d))


def encodings_of(secret: bytes) -> Iterable[bytes]:
    """Yield the bytes and their usual spellings."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield base64.b64encode(secret)
    yield base64.urlsafe_b64encode(secret).rstrip(b"=")


def places_of(needle: bytes, traces: dict[str, bytes]) -> list[str]:
    return [name for name, content in traces.items() if needle in content]


def kept(needles_of: Mapping[int, Iterable[bytes]], traces: dict[str, bytes]) -> dict[int, list[str]]:
    """Return where any of the needles of each number is, without those that are nowhere; in one pass for all of them.

    A needle has at least two blocks.
    """
    owned = [(number, needle) for number, needles in needles_of.items() for needle in needles]
    assert all(len(needle) >= 2 * BLOCK for _, needle in owned)
    parts = {needle[start : start + BLOCK] for _, needle in owned for start in range(len(needle) - BLOCK + 1)}
    found: dict[int, list[str]] = {}
    for name, content in traces.items():
        blocks = parts & {content[start : start + BLOCK] for start in range(0, len(content), BLOCK)}
        suspected = (each for each in owned if any(block in each[1] for block in blocks))
        for number in {number for number, needle in suspected if needle in content}:
            found.setdefault(number, []).append(name)
    return found


def test_the_search_finds_what_is_kept(
    live: Live, identities: tuple[dict[str, Any], ...], traces: dict[str, bytes]
) -> None:
    """Certificates are kept: a search that missed them would miss keys, too."""
    database = "the database" if live.database_url else "thingmint.sqlite"
    ders = [base64.b64decode("".join(created["certificatePem"].splitlines()[1:-1])) for created in identities]

    found = kept({number: encodings_of(der) for number, der in enumerate(ders)}, traces)

    for number, created in enumerate(identities):
        assert any(name.startswith(database) for name in found[number])
        assert "the log" in places_of(created["certificateId"].encode(), traces)


@pytest.mark.parametrize("start", range(BLOCK))
def test_the_search_finds_a_text_wherever_it_begins(start: int) -> None:
    text = secrets.token_bytes(2 * BLOCK)
    around = {"before": text[1:], "here": bytes(start) + text + bytes(7), "after": text[:-1]}

    assert kept({1: [secrets.token_bytes(99)], 2: [secrets.token_bytes(99), text]}, around) == {2: ["here"]}


def test_no_private_key_is_kept_anywhere(identities: tuple[dict[str, Any], ...], traces: dict[str, bytes]) -> None:
    assert len(identities) >= AT_LEAST
    keys = [created["keyPair"]["PrivateKey"] for created in identities[:AT_LEAST]]

    # Numbers, because a key must not be shown by the report of the test that finds it.
    assert kept({number: needles(key) for number, key in enumerate(keys)}, traces) == {}


def test_no_secret_of_an_access_key_is_kept_in_clear(live: Live, request: pytest.FixtureRequest) -> None:
    created = [
        live.create_access_key(policy(allow("iot:Describe*")), "--user", "watched", *options)
        for options in ((), ("--expires-in", "3600"))
    ]
    for key in created:
        client = live.client(key)
        assert client.describe_endpoint()["endpointAddress"]
        client.close()
    traces: dict[str, bytes] = request.getfixturevalue("traces")

    for key in created:
        assert places_of(key.access_key_id.encode(), traces)
        for secret in filter(None, (key.secret_access_key, key.session_token)):
            for form in encodings_of(secret.encode()):
                assert not places_of(form, traces), f"a secret is in {places_of(form, traces)}"


def test_the_administrators_secret_is_in_the_credentials_file_alone(live: Live, traces: dict[str, bytes]) -> None:
    secret = live.administrator.secret_access_key.encode()

    assert places_of(secret, traces) == ["credentials"]
    assert (live.service.data_dir / "credentials").stat().st_mode & 0o777 == 0o600
    assert not [form for form in list(encodings_of(secret))[1:] if places_of(form, traces)]


def test_the_keys_of_the_authorities_can_be_read_by_their_owner_only(live: Live) -> None:
    holders = [path for path in files_of(live.service.data_dir) if b"PRIVATE KEY-----" in path.read_bytes()]

    assert holders
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
