"""Owns the decoding and encoding of devices' payloads, in JSON and CBOR (RFC 8949).

Payloads are the least trusted input, because a whole fleet shares a claim certificate. Of CBOR, only the types of JSON
are accepted; no tag is interpreted.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import NoReturn

import cbor2
import msgspec

from thingmint.api.wire.reading.codec import decode_object
from thingmint.core.errors import InvalidRequest
from thingmint.core.topics.patterns import PayloadFormat

_MAX_DEPTH = 8
# Tags that cbor2 would decode to objects: times, big numbers, regular expressions, shared references and others.
_INTERPRETED_TAGS = (*range(6), *range(21, 40), 100, 256, 258, 260, 261, 1004, 43000, 55799)


class PayloadInvalid(InvalidRequest):
    """The payload is not an object in the format of its topic."""


def _refuse_tag(*_: object) -> NoReturn:
    raise PayloadInvalid("The payload holds a tag")


_NO_TAGS = dict.fromkeys(_INTERPRETED_TAGS, _refuse_tag)


def decode_payload(payload: bytes, payload_format: PayloadFormat) -> Mapping[str, object]:
    """Return the members of the payload, none for an empty one; raise PayloadInvalid for other content."""
    if not payload:
        return {}
    if payload_format is PayloadFormat.JSON:
        try:
            return decode_object(payload)
        except InvalidRequest as error:
            raise PayloadInvalid("The payload is not a JSON object") from error
    return _decode_cbor(payload)


def encode_payload(members: Mapping[str, object], payload_format: PayloadFormat) -> bytes:
    """Return the members in the format; CBOR has definite lengths, which the parsers of small devices need."""
    if payload_format is PayloadFormat.JSON:
        return msgspec.json.encode(members)
    return cbor2.dumps(members)


def _decode_cbor(payload: bytes) -> Mapping[str, object]:
    stream = BytesIO(payload)
    try:
        decoded = cbor2.load(
            stream,
            tag_hook=_refuse_tag,
            semantic_decoders=_NO_TAGS,
            max_depth=_MAX_DEPTH,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError, PayloadInvalid):
        # The decoder's message may quote the payload, which may hold an ownership token.
        raise PayloadInvalid("The payload is not a CBOR map of plain values") from None
    if stream.tell() != len(payload):
        raise PayloadInvalid("The payload holds more than one CBOR map")
    if not isinstance(decoded, dict) or not all(isinstance(name, str) for name in decoded):
        raise PayloadInvalid("The payload must be a CBOR map with text keys")
    return decoded
