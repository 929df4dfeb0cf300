"""Checkpoints: the texts of the specifications' own examples, and what is refused."""

import base64

import pytest

from thingmint.core.transparency.checkpoint import (
    CheckpointInvalid,
    LogKey,
    TreeHead,
    body_of,
    is_origin,
    key_of_text,
    note_of,
    read_checkpoint,
)

KEY = LogKey("example.com/log", bytes(range(32)))
HEAD = TreeHead(20_852_163, base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="))
NOTE = note_of(KEY, body_of(KEY.origin, HEAD), bytes(64))


def test_the_text_is_that_of_the_example_in_tlog_checkpoint() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert body_of("example.com/behind-the-sofa", HEAD).decode() == text


def test_the_key_id_is_that_of_the_go_checksum_database() -> None:
    # The public key of sum.golang.org, which every installation of Go holds.
    key = key_of_text("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
    assert (key.origin, key.key_id.hex()) == ("sum.golang.org", "033de0ae")
    assert key.text == "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    read = read_checkpoint(NOTE, KEY)
    assert read.head == HEAD
    assert read.body == body_of(KEY.origin, HEAD)
    assert read.signatures == (bytes(64),)


def test_signatures_of_others_are_ignored() -> None:
    other = "— witness.example AAAAAAAA\nno signature line\n"
    assert read_checkpoint(NOTE + other, KEY).signatures == (bytes(64),)


def test_lines_that_extend_the_text_are_signed_with_it() -> None:
    body = body_of(KEY.origin, HEAD) + b"more\n"
    assert read_checkpoint(note_of(KEY, body, bytes(64)), KEY).body == body


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ("", "is not a checkpoint"),
        ("example.com/log\n1\n", "is not a checkpoint"),
        (NOTE.replace("20852163", "01"), "is not a checkpoint"),
        (NOTE + "— a b\n" * 40_000, "is not a checkpoint"),
        (NOTE.replace("CsUY", "CsU"), "is not the hash of a tree"),
        (NOTE.replace("CsUYapGG", "CsU="), "is not the hash of a tree"),
        (NOTE.replace("example.com/log", "example.com/other"), "is of the log example.com/other"),
        (NOTE.replace("— example", "— other"), "is not signed by the key of the log"),
        (note_of(LogKey(KEY.origin, bytes(32)), body_of(KEY.origin, HEAD), bytes(64)), "is not signed by the key"),
    ],
)
def test_other_texts_are_refused(note: str, reason: str) -> None:
    with pytest.raises(CheckpointInvalid, match=reason):
        read_checkpoint(note, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/log",
        "a b+00000000+AQ==",
        KEY.text.replace("+A", "+B", 1),
        KEY.text[:-4],
        f"{KEY.origin}+00000000+{KEY.text.rpartition('+')[2]}",
    ],
)
def test_other_keys_are_refused(text: str) -> None:
    with pytest.raises(CheckpointInvalid, match="not the text of an Ed25519 key"):
        key_of_text(text)


@pytest.mark.parametrize(("name", "may_be"), [("localhost/log", True), ("", False), ("a b", False), ("a+b", False)])
def test_origins_have_neither_spaces_nor_plus_signs(name: str, may_be: bool) -> None:
    assert is_origin(name) is may_be
