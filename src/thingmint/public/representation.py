"""Owns a representation of a resource, with its header fields and conditional requests (RFC 9110, RFC 9111)."""

import email.utils
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

# Long enough that caches take the load, short enough that clients soon learn of revocations.
_LONGEST_AGE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Representation:
    """Bytes and their media type. With a digest in hex (the entity tag) and dates, caches may keep them."""

    body: bytes = field(repr=False)
    content_type: bytes
    digest: str | None = None
    modified_at: datetime | None = None
    expires_at: datetime | None = None

    def fields(self, now: datetime) -> list[tuple[bytes, bytes]]:
        """Return the header fields for caches and conditions, without the type and the length."""
        if self.digest is None or self.modified_at is None:
            return [(b"cache-control", b"no-store")]
        seconds = _LONGEST_AGE_SECONDS
        fields = [(b"etag", self._entity_tag), (b"last-modified", _http_date(self.modified_at))]
        if self.expires_at is not None:
            seconds = max(0, min(seconds, int((self.expires_at - now).total_seconds())))
            fields.append((b"expires", _http_date(self.expires_at)))
        # RFC 5019, 6.2, requires these directives. A CRL can be cached like an OCSP response.
        fields.append((b"cache-control", b"max-age=%d, public, no-transform, must-revalidate" % seconds))
        return fields

    def is_known_to(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether the client has this representation, by its request's conditions (RFC 9110, 13.1)."""
        if self.digest is None or self.modified_at is None:
            return False
        given = dict(headers)
        if (tags := given.get(b"if-none-match")) is not None:
            known = [tag.strip().removeprefix(b"W/") for tag in tags.split(b",")]
            return b"*" in known or self._entity_tag in known
        since = _moment(given.get(b"if-modified-since"))
        return since is not None and self.modified_at.replace(microsecond=0) <= since

    @property
    def _entity_tag(self) -> bytes:
        return b'"%s"' % (self.digest or "")[:32].encode("ascii")


# The dates of answers are whole seconds, and many answers have the same ones.
@lru_cache(64)
def _http_date(moment: datetime) -> bytes:
    return email.utils.format_datetime(moment.astimezone(UTC), usegmt=True).encode("ascii")


def _moment(text: bytes | None) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime((text or b"").decode("latin-1"))
    except (ValueError, OverflowError):
        return None
    # A date without a zone is in UTC. A condition that cannot be parsed is ignored.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
