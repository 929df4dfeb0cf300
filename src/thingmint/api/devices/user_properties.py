"""Owns the encoding of MQTT 5 user properties in HTTP: Base64 of a JSON array of objects with names and texts."""

import base64

import msgspec

from thingmint.core.errors import InvalidRequest

_decoder = msgspec.json.Decoder(list[dict[str, str]] | str)
_REFUSAL = "userProperties must be the base64 of a JSON array of objects whose values are strings"


def decode_base64(text: str, name: str) -> bytes:
    """Return the decoded bytes; raise InvalidRequest unless the text is standard Base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidRequest(f"{name} must be base64") from None


def decode_user_properties(text: str | None) -> tuple[tuple[str, str], ...]:
    """Return names and values in order; raise InvalidRequest for any other form."""
    if text is None:
        return ()
    try:
        objects = _decoder.decode(decode_base64(text, "userProperties"))
        if isinstance(objects, str):
            # AWS documents the member as a JSON string. It is one if the user of an SDK passed a text.
            objects = _decoder.decode(objects)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest(_REFUSAL) from None
    if isinstance(objects, str):
        raise InvalidRequest(_REFUSAL)
    return tuple(pair for each in objects for pair in each.items())


def encode_user_properties(properties: tuple[tuple[str, str], ...]) -> bytes | None:
    """Return the JSON, with an object for each property because names may repeat; None if there are no properties."""
    return msgspec.json.encode([{name: value} for name, value in properties]) if properties else None
