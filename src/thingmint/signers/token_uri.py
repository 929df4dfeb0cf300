"""Owns the parsing of PKCS#11 URIs (RFC 7512): which token, and which key in it. Opens no token.

Only the attributes that name a token or a key are accepted. The module, which is code that a node runs, and the PIN, a
secret, are settings of each node, and never part of a URI in the database.
"""

from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

_TOKEN_ATTRIBUTES = ("token", "serial", "manufacturer", "model")
_MOST_CHARACTERS = 1024


class TokenURIRefused(ValueError):
    """The text is not a valid URI of a token; the message says why and contains no secret."""


class TokenURI(Struct, frozen=True):
    """A token, named by its attributes, and a key in it, named by its label and its CKA_ID."""

    token: tuple[tuple[str, str], ...]
    label: str | None = None
    key_id: bytes | None = None

    def __str__(self) -> str:
        """Return the URI."""
        parts = [f"{name}={quote(value)}" for name, value in self.token]
        if self.label is not None:
            parts.append(f"object={quote(self.label)}")
        if self.key_id is not None:
            parts.append("id=" + "".join(f"%{octet:02x}" for octet in self.key_id))
        return "pkcs11:" + ";".join(parts)


def parse_token_uri(text: str) -> TokenURI:
    """Return the parts of a URI like ``pkcs11:token=devices``; raise TokenURIRefused."""
    scheme, colon, rest = text.partition(":")
    if scheme != "pkcs11" or not colon or len(text) > _MOST_CHARACTERS:
        raise TokenURIRefused("the URI of a token is written like pkcs11:token=NAME")
    path, mark, _ = rest.partition("?")
    if mark:
        raise TokenURIRefused(
            "the URI of a token has no ?… part here: name the module with pkcs11_module and the file with the PIN with "
            "pkcs11_pin_file"
        )
    given: dict[str, bytes] = {}
    for part in path.split(";"):
        name, equals, value = part.partition("=")
        if not equals or name in given:
            raise TokenURIRefused("each attribute of the URI of a token is written once, like token=NAME")
        given[name] = unquote_to_bytes(value)
    if unknown := sorted(given.keys() - {*_TOKEN_ATTRIBUTES, "object", "id", "type"}):
        raise TokenURIRefused(f"the URI of a token has {unknown[0]!r}, which is not supported")
    if given.get("type", b"private") != b"private":
        raise TokenURIRefused("the URI of a token names another type of object than a private key")
    try:
        words = {name: value.decode() for name, value in given.items() if name != "id"}
    except UnicodeDecodeError as error:
        raise TokenURIRefused("the URI of a token is not UTF-8") from error
    token = tuple((name, words[name]) for name in _TOKEN_ATTRIBUTES if name in words)
    if not token:
        raise TokenURIRefused("the URI must name a token: token=NAME or serial=NUMBER")
    return TokenURI(token, words.get("object"), given.get("id"))
