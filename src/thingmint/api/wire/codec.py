"""Owns the JSON of bodies; knows no message."""

from datetime import datetime

import msgspec

from thingmint.core.errors import InvalidRequest

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()

EMPTY = b"{}"


def decode_object(body: bytes) -> dict[str, object]:
    """Return the object that the body holds, an empty one for an empty body; raise InvalidRequest for anything else.

    Of members with the same name the last one counts, as with the parsers of AWS's own services and SDKs. The error is
    InvalidRequestException, not the front end's SerializationException: the model knows it, so that SDKs raise their
    typed exception for it.
    """
    if not body:
        return {}
    try:
        decoded = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The parser's own words may quote the body; and a body nested deeper than the interpreter's stack stops there.
        raise InvalidRequest("The request body is not valid JSON") from None
    if not isinstance(decoded, dict):
        raise InvalidRequest("The request body must be a JSON object")
    return decoded


def encode_object(message: msgspec.Struct | None) -> bytes:
    """Return the body of an answer; an operation without output answers with an empty object."""
    return EMPTY if message is None else _encoder.encode(message)


def epoch_seconds(time: datetime) -> float:
    """Return the time as AWS IoT writes it in JSON: seconds since 1970, with milliseconds."""
    return round(time.timestamp(), 3)


def epoch_milliseconds(time: datetime) -> int:
    """Return the time as the data plane writes it in JSON: whole milliseconds since 1970."""
    return round(time.timestamp() * 1000)
