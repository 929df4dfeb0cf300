"""Owns the hashes of many leaves at once, and the statuses in them. Faster than `leaf.leaf_of`, with the same bytes.

The parts of entries that repeat (accounts, callers, actions, details of a changed status) are encoded once. What
`leaf_of` and `logged_facts.facts_in` return for one entry decides what is right; a test compares them.
"""

import re
from collections.abc import Iterable
from hashlib import blake2s, sha256
from json.encoder import encode_basestring_ascii as quoted
from sys import intern
from typing import NamedTuple, TypeAlias, TypeVar

from thingmint.core.transparency.leaf import SALT_BYTES, facts_of, kind_of_prefix, subject_of
from thingmint.core.transparency.logged_facts import facts_with_status, is_plain_action, is_plain_change

_T = TypeVar("_T")

SEPARATOR = "\x1f"
"""Separates the columns of a heading. No entry that the service writes has this character in one of them."""

_ID_LENGTH = 64
# The details of most issued certificates, each of which is another one.
_ISSUED = re.compile(
    r'\{"status":"([A-Z_]{1,20})","issuer_id":"([0-9a-f]{64})","serial_number":"([0-9a-f]{1,40})"\}', re.ASCII
)
# A cache is emptied when it has this many members; longer details are not kept.
_MOST_KEPT = 4096
_LONGEST_KEPT = 256

BareEntry: TypeAlias = tuple[int, int, str, str, str, str, str]
"""Position, time, heading (account, region, source address, action), caller's ARN, request id, resource, detail."""


class EntryUnreadable(ValueError):
    """An entry has a value that the service never writes, such as bytes instead of text."""


class Heading(NamedTuple):
    """The parts of an entry that many entries share, and their texts in the leaf and under its private digest."""

    scope: tuple[str, str]
    action: str
    is_plain: bool
    told: str
    source_address: str


class Standing(NamedTuple):
    """What a detail with a status says of its certificate. ``facts`` are all facts of a leaf of a transfer."""

    status: str
    issuer_id: str | None
    serial_number: str | None
    certificate_id: str | None
    transfer: dict[str, str] | None

    @property
    def facts(self) -> dict[str, str]:
        """The facts that `told.Told` has."""
        found = {"status": self.status, "issuer_id": self.issuer_id, "serial_number": self.serial_number}
        return self.transfer or {name: value for name, value in found.items() if value is not None}


_Fact: TypeAlias = tuple[str, str, Standing | None]
"""A detail: quoted, its facts as text of the leaf, and the status in them."""

StatusChange: TypeAlias = tuple[Heading, str, Standing]
"""A status in a leaf, and of which certificate: ``cert/ID`` or ``cacert/ID`` in the heading's account and region."""


class LeafHashes:
    """Computes the hashes of leaves whose salts follow from the log's secret."""

    def __init__(self, secret: bytes) -> None:
        self._salt = blake2s(digest_size=SALT_BYTES, key=secret)
        self._headings: dict[str, Heading] = {}
        self._facts: dict[str, _Fact] = {}
        self._kinds: dict[str, str | None] = {}

    def of(self, entries: Iterable[BareEntry]) -> tuple[list[bytes], list[StatusChange | None]]:
        """Return for each entry the hash of its leaf, and the status that the leaf gives a certificate, if it does.

        Raises EntryUnreadable if an entry has values of other types.
        """
        hashes, changes = [], list[StatusChange | None]()
        headings, facts, kinds = self._headings, self._facts, self._kinds
        try:
            for position, at, heading_text, principal_arn, request_id, resource, detail in entries:
                heading = headings.get(heading_text) or self._heading(heading_text)
                quoted_detail, facts_text, standing = facts.get(detail) or self._fact(detail)
                prefix, _, identifier = resource.rpartition("/")
                kind = kinds[prefix] if prefix in kinds else self._kind(prefix)
                if kind is not None and _is_certificate_id(identifier):
                    subject, shown = kind + identifier, f'"{resource}"'
                else:
                    subject, shown = subject_of(resource), quoted(resource)
                salt = self._salt.copy()
                salt.update(position.to_bytes(8, "big"))
                private = (
                    f"[{quoted(principal_arn)},{heading.source_address},{quoted(request_id)},{shown},{quoted_detail}]"
                ).encode()
                digest = sha256(salt.digest() + private).hexdigest()
                # RFC 6962, 2.1: a zero octet before the content of a leaf.
                leaf = (
                    f'\0{{"v":1,"at":{at},{heading.told},"subject":"{subject}","facts":{facts_text},'
                    f'"private":"{digest}"}}'
                )
                hashes.append(sha256(leaf.encode()).digest())
                if standing is None:
                    changes.append(None)
                    continue
                name = f"cert/{standing.certificate_id}" if standing.certificate_id else subject
                changes.append((heading, name, standing) if name else None)
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            raise EntryUnreadable("an entry has values that the service never writes") from error
        return hashes, changes

    def _heading(self, text: str) -> Heading:
        account, region, source_address, action = text.split(SEPARATOR)
        heading = Heading(
            (account, region),
            action,
            is_plain_action(action),
            f'"account":{quoted(account)},"region":{quoted(region)},"action":{quoted(action)}',
            quoted(source_address),
        )
        _keep(self._headings, text, heading)
        return heading

    def _fact(self, detail: str) -> _Fact:
        if (found := _ISSUED.fullmatch(detail)) is not None:
            status, issuer_id, serial_number = found.groups()
            # A few texts are those of most certificates: one object for all saves memory.
            return quoted(detail), detail, Standing(intern(status), intern(issuer_id), serial_number, None, None)
        text = facts_of(detail)
        fact = quoted(detail), text, _standing(facts_with_status(text))
        _keep(self._facts, detail, fact)
        return fact

    def _kind(self, prefix: str) -> str | None:
        kind = kind_of_prefix(f"{prefix}/")
        _keep(self._kinds, prefix, kind)
        return kind


def _standing(facts: dict[str, str] | None) -> Standing | None:
    if facts is None:
        return None
    return Standing(
        intern(facts["status"]),
        facts.get("issuer_id"),
        facts.get("serial_number"),
        facts.get("certificate_id"),
        None if is_plain_change(facts) else facts,
    )


def _is_certificate_id(identifier: str) -> bool:
    try:
        return len(identifier) == _ID_LENGTH and bytes.fromhex(identifier).hex() == identifier
    except ValueError:
        return False


def _keep(cache: dict[str, _T], text: str, value: _T) -> None:
    if len(cache) >= _MOST_KEPT:
        cache.clear()
    if len(text) <= _LONGEST_KEPT:
        cache[text] = value
