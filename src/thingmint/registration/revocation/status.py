"""Owns the answers to OCSP requests, from the registry or from a cache of signed answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from cryptography.x509.ocsp import OCSPResponseStatus
from msgspec import Struct

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.revocation.ocsp import (
    CertificateName,
    CertificateStanding,
    MalformedRequest,
    ResponseTerms,
    issuer_names,
    read_request,
    refusal,
)
from thingmint.records.certificates import revocations as revocation_table
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.revocation.responders import Responders
from thingmint.registration.revocation.terms import CRLIssuer, CRLIssuers, RevocationObserver, RevocationTerms

# An answer and its request have about 1.5 KB.
MAX_CACHED = 16_384
_LONGEST_CACHED = 512
_REQUESTS_OF_A_CERTIFICATE = 16


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """A response. Its dates are those of the statuses in it. A response without dates is only for its client.

    It has the client's nonce, or an error.
    """

    der: bytes = field(repr=False)
    status: str
    this_update: datetime | None = None
    next_update: datetime | None = None


class _Cached(Struct, frozen=True):
    answer: StatusAnswer
    since: datetime
    until: datetime
    name: tuple[str, SerialNumber]


@dataclass(slots=True)
class StatusService:
    """Answers OCSP requests about certificates of the service's CAs; belongs to one event loop."""

    authority: RegistrationAuthority
    crl_issuers: CRLIssuers
    responders: Responders
    terms: RevocationTerms
    observer: RevocationObserver
    _cached: OrderedDict[bytes, _Cached] = field(default_factory=OrderedDict)
    _requests: dict[tuple[str, SerialNumber], list[bytes]] = field(default_factory=dict)
    _asked: object = None
    _by_name: dict[tuple[str, bytes, bytes], CRLIssuer] = field(default_factory=dict)
    _changes: int = 0

    def forget(self, issuer_id: str | None, serial_number: SerialNumber | None) -> None:
        """Remove the answers about a certificate, or all answers, from the cache, because they may have changed."""
        self._changes += 1
        if issuer_id is None or serial_number is None:
            self._cached.clear()
            self._requests.clear()
            return
        for request in self._requests.pop((issuer_id, serial_number), ()):
            self._cached.pop(request, None)

    def cached(self, request: bytes) -> StatusAnswer | None:
        """Return the cached answer to exactly this request if it is still valid."""
        found = self._cached.get(request)
        if found is None or not found.since <= self.authority.clock.now() < found.until:
            return None
        self.observer.status_answered(found.answer.status, is_cached=True)
        return found.answer

    async def answer(self, request: bytes) -> StatusAnswer:
        """Return the answer to the request. An error in the request or in this service is an OCSP response, too."""
        return self.cached(request) or await self.answer_anew(request)

    async def answer_anew(self, request: bytes) -> StatusAnswer:
        """Return what `answer` does, but never from the cache."""
        try:
            answer = await self._answer(request)
        except MalformedRequest:
            answer = _refused(OCSPResponseStatus.MALFORMED_REQUEST, "malformed_request")
        except IssuerUnfit:
            answer = _refused(OCSPResponseStatus.UNAUTHORIZED, "unauthorized")
        except ThingmintError:
            answer = _refused(OCSPResponseStatus.TRY_LATER, "try_later")
        self.observer.status_answered(answer.status, is_cached=False)
        return answer

    async def _answer(self, request: bytes) -> StatusAnswer:
        asked = read_request(request)
        crl_issuer = self._crl_issuer_of(asked.names)
        if crl_issuer is None:
            # RFC 5019, 2.2.3: clients would not accept a response that this service signs.
            return _refused(OCSPResponseStatus.UNAUTHORIZED, "unauthorized")
        changes, now = self._changes, self.authority.clock.now()
        responder = self.responders.present(crl_issuer.ca, now) or await self.responders.of(crl_issuer.ca, now)
        standings = await self._standings(crl_issuer, asked.names)
        this_update = now.astimezone(UTC).replace(microsecond=0)
        next_update = min(this_update + self.terms.response_valid_for, responder.not_after)
        der = responder.respond(standings, ResponseTerms(this_update, next_update, asked.nonce))
        if asked.nonce is not None:
            return StatusAnswer(der, _word(standings))
        answer = StatusAnswer(der, _word(standings), this_update, next_update)
        # A number that was never issued can be issued later, and no change would remove the cached answer.
        is_kept = len(standings) == 1 and standings[0].is_issued
        if is_kept and changes == self._changes and len(request) <= _LONGEST_CACHED:
            self._keep(request, (crl_issuer.ca.issuer_id, asked.names[0].serial_number), answer, now)
        return answer

    def _crl_issuer_of(self, names: Sequence[CertificateName]) -> CRLIssuer | None:
        """Return the CA of all these certificates; None if they have different or unknown CAs."""
        crl_issuers = self.crl_issuers()
        if crl_issuers is not self._asked:
            # The digests are kept: computing them for each request would let clients with wrong names cost much.
            self._by_name = {name: crl_issuer for crl_issuer in crl_issuers for name in issuer_names(crl_issuer.ca)}
            self._asked = crl_issuers
        found = self._by_name.get(names[0].issuer)
        if len(names) > 1 and any(self._by_name.get(name.issuer) is not found for name in names):
            return None
        return found

    async def _standings(self, crl_issuer: CRLIssuer, names: Sequence[CertificateName]) -> list[CertificateStanding]:
        issuer_id, read = crl_issuer.ca.issuer_id, self.authority.store.read
        if len(names) == 1:
            recorded = [await read(partial(revocation_table.standing, issuer_id, names[0].serial_number))]
        else:
            # One program, so that all statuses are of one moment.
            recorded = await read(
                partial(revocation_table.standings, issuer_id, [each.serial_number for each in names])
            )
        return [
            CertificateStanding(
                name,
                is_here or revocation is not None or name.serial_number in crl_issuer.known,
                None if revocation is None else self._shown(revocation),
            )
            for name, (is_here, revocation) in zip(names, recorded, strict=True)
        ]

    def _shown(self, revocation: Revocation) -> Revocation | None:
        if revocation.reason is RevocationReason.REMOVE_FROM_CRL:
            return None
        is_hold = revocation.reason is RevocationReason.CERTIFICATE_HOLD
        return None if is_hold and not self.terms.shows_holds else revocation

    def _keep(self, request: bytes, name: tuple[str, SerialNumber], answer: StatusAnswer, now: datetime) -> None:
        requests = self._requests.setdefault(name, [])
        if request not in requests:
            requests.append(request)
        if len(requests) > _REQUESTS_OF_A_CERTIFICATE:
            # Usual clients send few different requests. Only an attack on the cache sends more.
            self._cached.pop(requests.pop(0))
        assert answer.next_update is not None
        self._cached[request] = _Cached(answer, now, now + (answer.next_update - now) / 2, name)
        if len(self._cached) > MAX_CACHED:
            oldest, entry = self._cached.popitem(last=False)
            left = self._requests[entry.name]
            left.remove(oldest)
            if not left:
                del self._requests[entry.name]


def _refused(status: OCSPResponseStatus, word: str) -> StatusAnswer:
    return StatusAnswer(refusal(status), word)


def _word(standings: Sequence[CertificateStanding]) -> str:
    if len(standings) > 1:
        return "several"
    if standings[0].revocation is not None:
        return "revoked"
    return "good" if standings[0].is_issued else "unknown"
