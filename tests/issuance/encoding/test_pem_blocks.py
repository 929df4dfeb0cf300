"""PEM that somebody else wrote: one block, which text before it may explain."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.issuance.encoding.pem_blocks import MalformedPEM, read_block

LABELS = ("CERTIFICATE",)
CONTENT = bytes(range(100))


def block(label: str = "CERTIFICATE", *, end_label: str | None = None, body: str | None = None, eol: str = "\n") -> str:
    text = base64.b64encode(CONTENT).decode() if body is None else body
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return eol.join([f"-----BEGIN {label}-----", *lines, f"-----END {end_label or label}-----", ""])


@pytest.mark.parametrize(
    "text",
    [
        block(),
        block(eol="\r\n"),
        block().strip(),
        f"\r\n\t {block()}\n\n",
        block().replace("\n", "\n  "),
        "".join(block().splitlines()),
    ],
    ids=["lf", "crlf", "no last line end", "white space around", "indented", "one line"],
)
def test_white_space_changes_nothing(text: str) -> None:
    assert read_block(text, LABELS, "certificate") == CONTENT


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r", "\n  "])
def test_text_that_explains_the_block_is_passed_over(eol: str) -> None:
    explained = eol.join(["Certificate:", "    Data:", "        Version: 3 (0x2)", block()])
    assert read_block(explained, LABELS, "certificate") == CONTENT


@pytest.mark.parametrize("before", ["\ufeffCertificate:\n", "subject=CN = a\\nb\n", "\ufeff\r"])
def test_odd_text_on_lines_before_the_block_is_passed_over(before: str) -> None:
    assert read_block(before + block(), LABELS, "certificate") == CONTENT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not exactly one PEM block"),
        ("garbage", "not exactly one PEM block"),
        (block() + block(), "not exactly one PEM block"),
        (block().replace("-----END CERTIFICATE-----", ""), "not exactly one PEM block"),
        ("-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----", "not exactly one PEM block"),
        (block("PRIVATE KEY"), "not labelled CERTIFICATE"),
        (block("TRUSTED CERTIFICATE"), "not labelled CERTIFICATE"),
        (block(end_label="PRIVATE KEY"), "not labelled CERTIFICATE"),
        ("Certificate: " + block(), "text beside or after its PEM block"),
        (block() + "junk", "text beside or after its PEM block"),
        (block() + "\njunk\n", "text beside or after its PEM block"),
        ("\ufeff" + block(), "has a byte order mark"),
        ("Certificate:\n\ufeff" + block(), "has a byte order mark"),
        (block().replace("\n", "\\n"), "a backslash and an n; send them as line breaks"),
        (block().replace("\n", "\\r\\n"), "a backslash and an n"),
        (block().replace("\n", "\\r"), "a backslash and an r"),
        (block() + "\0", "has a NUL character"),
        ("a\0b\n" + block(), "has a NUL character"),
        ("\ud800\n" + block(), "half of a surrogate pair"),
        ("Bag Attributes\n" + block("PRIVATE KEY") + block(), "not exactly one PEM block"),
        (block(body="!!!!"), "not base64"),
        (block(body="QQ="), "not base64"),
        (block(body="QQ==QQ=="), "not base64"),
        (block(body="é"), "not base64"),
        (block() + " " * 65_536, "longer than 65536 characters"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(MalformedPEM, match=reason):
        read_block(text, LABELS, "certificate")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedPEM):
        assert read_block(text, LABELS, "certificate") == b""


@given(
    where=st.integers(0, len(block())),
    cut=st.integers(0, 3),
    inserted=st.text(st.sampled_from("A=-\n\r\t \0é\ufeff\ud800\\n"), max_size=3),
)
def test_the_usual_form_is_read_like_every_other(where: int, cut: int, inserted: str) -> None:
    text = block()[:where] + inserted + block()[where + cut :]

    def read(variant: str) -> bytes | str:
        try:
            return read_block(variant, LABELS, "certificate")
        except MalformedPEM as refusal:
            return str(refusal)

    # With white space before it, a text does not have the usual form.
    assert read(text) == read(f"\n{text}")
