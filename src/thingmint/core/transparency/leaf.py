"""Owns the byte format of a log leaf, which describes an audit entry. Independent of tables and of the tree.

Version 1. A leaf is a JSON object of ASCII characters without spaces, its names in this order:

    {"v":1,"at":A,"account":"…","region":"…","action":"…","subject":"…","facts":{…},"private":"…"}

- ``at``: microseconds since 1970-01-01T00:00:00Z, a whole number.
- ``subject``: ``cert/ID`` or ``cacert/ID`` where the entry's resource is a certificate or a CA certificate, else "".
  An id is the SHA-256 of the certificate's DER.
- ``facts``: those members of the entry's detail that `FACTS` names, in the order of the detail, if their values are of
  letters, digits and ``_ . : -`` only, at most 128 of them: serial numbers, ids, statuses, digests.
- ``private``: lower-case hex of SHA-256 over 16 bytes of salt and the JSON array of the principal's ARN, the source
  address, the request id, the resource and the detail, five strings of ASCII without spaces. The detail is text: the
  JSON object that the audit trail has stored.

The salt keeps readers of the log from finding a name by trying names. It is BLAKE2s (RFC 7693) with the log's secret as
the key and 16 bytes of output, over the entry's position in the audit trail as 8 bytes, big-endian; exports hold it.
"""

import json
import re
from functools import lru_cache
from hashlib import blake2s, sha256
from json.encoder import encode_basestring_ascii as quoted
from typing import NamedTuple

SALT_BYTES = 16
SECRET_BYTES = 32

# Facts for every reader of the log: no names that an operator or a device has chosen.
FACTS = (
    "ca_certificate_id",
    "certificate_id",
    "default_version",
    "document_sha256",
    "issuer_id",
    "mode",
    "previous_status",
    "previous_version",
    "serial_number",
    "source_account",
    "status",
    "target_account",
    "version",
)
_VALUE = r"[A-Za-z0-9_.:-]{0,128}"
_MEMBER = rf'"(?:{"|".join(FACTS)})":"{_VALUE}"'
# Most details contain only facts and are copied unparsed. Parsing them would take longer than everything else.
_FACTS_ONLY = re.compile(rf"\{{(?:{_MEMBER}(?:,{_MEMBER})*)?\}}", re.ASCII)
_FACT = re.compile(_VALUE, re.ASCII)
_PREFIX = r"arn:[a-z-]+:iot:[^:]*:[^:]*:"
_SUBJECT = re.compile(rf"{_PREFIX}((?:cert|cacert)/[0-9a-f]{{64}})", re.ASCII)
_PREFIX_OF_KIND = re.compile(rf"{_PREFIX}((?:cert|cacert)/)", re.ASCII)


class LoggedEntry(NamedTuple):
    """A stored entry of the audit trail. ``detail`` is the text of a JSON object."""

    position: int
    at: int
    account: str
    region: str
    principal_arn: str
    source_address: str
    request_id: str
    action: str
    resource: str
    detail: str


def salt_of(secret: bytes, position: int) -> bytes:
    """Return the salt of the entry at this position of the audit trail."""
    return blake2s(position.to_bytes(8, "big"), digest_size=SALT_BYTES, key=secret).digest()


def leaf_of(entry: LoggedEntry, salt: bytes) -> bytes:
    """Return the content of the entry's leaf."""
    hidden = (
        f"[{quoted(entry.principal_arn)},{quoted(entry.source_address)},{quoted(entry.request_id)},"
        f"{quoted(entry.resource)},{quoted(entry.detail)}]"
    )
    return (
        f'{{"v":1,"at":{entry.at},{_head(entry.account, entry.region, entry.action)},'
        f'"subject":"{subject_of(entry.resource)}","facts":{facts_of(entry.detail)},'
        f'"private":"{sha256(salt + hidden.encode()).hexdigest()}"}}'
    ).encode()


def subject_of(resource: str) -> str:
    """Return ``cert/ID`` or ``cacert/ID`` if the resource is a certificate or a CA certificate, else empty text."""
    found = _SUBJECT.fullmatch(resource)
    return "" if found is None else found[1]


def kind_of_prefix(prefix: str) -> str | None:
    """Return ``cert/`` or ``cacert/`` if the prefix and a certificate's id are its ARN, and JSON escapes none of it."""
    found = _PREFIX_OF_KIND.fullmatch(prefix)
    return None if found is None or quoted(prefix) != f'"{prefix}"' else found[1]


def facts_of(detail: str) -> str:
    """Return the facts of a detail as text of its leaf."""
    return detail if _FACTS_ONLY.fullmatch(detail) else _facts(detail)


@lru_cache(maxsize=1024)
def _head(account: str, region: str, action: str) -> str:
    return f'"account":{quoted(account)},"region":{quoted(region)},"action":{quoted(action)}'


def _facts(detail: str) -> str:
    try:
        told = json.loads(detail)
    except (ValueError, RecursionError):
        # The table was changed by hand. The digest covers the changed text.
        told = None
    members = told.items() if isinstance(told, dict) else ()
    return json.dumps(
        {name: value for name, value in members if name in FACTS and _is_fact(value)}, separators=(",", ":")
    )


def _is_fact(value: object) -> bool:
    return isinstance(value, str) and _FACT.fullmatch(value) is not None
