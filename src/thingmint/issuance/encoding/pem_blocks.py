"""Owns the parsing of PEM text from outside: one block with optional text before it. Does not interpret its content."""

import binascii
import re

_MAX_CHARACTERS = 65_536
_BOUNDARY = re.compile(r"-----(BEGIN|END) ([^\n-]*)-----")
_BEGIN = "-----BEGIN "
_WHITE_SPACE = "\r\n\t "
_LINE_ENDS = ("", "\r", "\n")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Characters in or beside the block that an editor does not show, or shows like another character.
_MISTAKES = {
    "\ufeff": "has a byte order mark (U+FEFF); save the file as UTF-8 without one",
    "\\n": "has line breaks that are written as a backslash and an n; send them as line breaks",
    "\\r": "has line breaks that are written as a backslash and an r; send them as line breaks",
}


class MalformedPEM(ValueError):
    """The text is not one PEM block with an expected label. The message gives the reason for the text's author."""


def read_block(text: str, labels: tuple[str, ...], what: str) -> bytes:
    """Return the bytes of the one PEM block in the text; raise MalformedPEM.

    Line ends can be of any kind, and lines of any length. Lines of text before the block, such as those of OpenSSL's
    tools, are ignored (RFC 7468, 2 and 5.2). No text may follow the block.
    """
    if len(text) > _MAX_CHARACTERS:
        raise MalformedPEM(f"The {what} is longer than {_MAX_CHARACTERS} characters")
    if (usual := _usual_block(text, labels[0])) is not None:
        return usual
    _ensure_kept_as_text(text, what)
    text = text.strip(_WHITE_SPACE)
    boundaries = list(_BOUNDARY.finditer(text))
    if [boundary[1] for boundary in boundaries] != ["BEGIN", "END"]:
        raise MalformedPEM(f"The {what} is not exactly one PEM block")
    begin, end = boundaries
    if begin[2] not in labels or end[2] != begin[2]:
        raise MalformedPEM(f"The PEM block is not labelled {labels[0]}")
    if text[: begin.start()].rstrip("\t ")[-1:] not in _LINE_ENDS or end.end() != len(text):
        raise MalformedPEM(f"The {what} has text beside or after its PEM block")
    body = text[begin.end() : end.start()]
    for white_space in _WHITE_SPACE:
        body = body.replace(white_space, "")
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except ValueError as error:
        raise MalformedPEM(f"The PEM block of the {what} is not base64") from error


def _usual_block(text: str, label: str) -> bytes | None:
    """Return the bytes of a block as most programs write it, with nothing else in the text; None for any other text.

    Everything that must be refused has characters that are not base64, so it is read the other way, for the reason.
    """
    begin, end = f"-----BEGIN {label}-----\n", f"\n-----END {label}-----\n"
    if not text.startswith(begin) or not text.endswith(end):
        return None
    try:
        return binascii.a2b_base64(text[len(begin) : -len(end)].replace("\n", ""), strict_mode=True)
    except ValueError:
        return None


def _ensure_kept_as_text(text: str, what: str) -> None:
    if "\0" in text:
        raise MalformedPEM(f"The {what} has a NUL character; send it as text in UTF-8, without a final NUL")
    # Most texts are ASCII, and the search takes half as long as the rest of this module.
    if not text.isascii() and _SURROGATE.search(text):
        raise MalformedPEM(f"The {what} has half of a surrogate pair, which is no character")
    begin = max(text.find(_BEGIN), 0)
    line = max(text.rfind("\n", 0, begin), text.rfind("\r", 0, begin)) + 1
    for mistake, reason in _MISTAKES.items():
        if mistake in text[line:]:
            raise MalformedPEM(f"The {what} {reason}")
