"""Owns the decoding and encoding of JSON bodies."""

from datetime import datetime

import msgspec

from thingmint.core.errors import InvalidRequest

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()

EMPTY = b"{}"


def decode_object(body: bytes) -> dict[str, object]:
    """Return the JSON object in the body, empty for an empty body; raise InvalidRequest for other content.

    If members have the same name, the last one is used, as in the parsers of AWS's services and SDKs. The error is
    InvalidRequestException, not the front end's SerializationException: it is in the model, so SDKs raise their typed
    exception for it.
    """
    if not body:
        return {}
    try:
        decoded = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The parser's message may quote the body. Also reached if the body is nested deeper than the interpreter's
        # stack.
        raise InvalidRequest("The request body is not valid JSON") from None
    if not isinstance(decoded, dict):
        raise InvalidRequest("The request body must be a JSON object")
    return decoded


def encode_object(message: msgspec.Struct | None) -> bytes:
    """Return the body of an answer; an operation without output answers with an empty object."""
    return EMPTY if message is None else _encoder.encode(message)


def epoch_seconds(time: datetime) -> float:
    """Return the time in AWS IoT's JSON format: seconds since 1970, with milliseconds."""
    return round(time.timestamp(), 3)


def epoch_milliseconds(time: datetime) -> int:
    """Return the time in the data plane's JSON format: whole milliseconds since 1970."""
    return round(time.timestamp() * 1000)
