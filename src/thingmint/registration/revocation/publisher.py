"""Owns when a new revocation list is written, and by which node.

Every node reads the table of revocations. The node with the lease writes the lists: when an entry has changed, and when
half of a list's validity has passed. The update of a list checks the number of the previous one, so two nodes never
write two lists with one number. If a list cannot be written, the previous one stays, and the node tries again.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from thingmint.core.certificates.revocation_list import ListName, ListState
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import SerialNumber
from thingmint.core.operational_log import OperationalLog
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.revocation.crl import ListTerms, sign_list, signs_lists
from thingmint.records.certificates import revocation_lists as list_table
from thingmint.records.certificates import revocations as revocation_table
from thingmint.records.certificates.revocation_lists import StoredList
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.revocation.parts import Parts, digest_of
from thingmint.registration.revocation.published import PublishedLists
from thingmint.registration.revocation.terms import CRLIssuer, CRLIssuers, RevocationObserver, RevocationTerms

TURN_SECONDS = 0.1
_LEASE = timedelta(seconds=10)
# After writing lists, the node pauses for as long as that took, so that changes are collected.
_MAX_CHANGES = 10_000
_FROM_NOW_ON = 2**63 - 1
# Clocks of nodes differ by less. A list from further in the future was dated by a wrong clock.
_AHEAD = timedelta(seconds=60)

Forget = Callable[[str | None, SerialNumber | None], None]
"""Receives the issuer and serial number of a changed revocation; None for both if any may have changed."""


@dataclass(slots=True)
class Publisher:
    """Writes the lists of the service's CAs; belongs to one event loop.

    ``owner`` is unique among the processes that write lists to the same database.
    """

    authority: RegistrationAuthority
    published: PublishedLists
    crl_issuers: CRLIssuers
    terms: RevocationTerms
    owner: str
    forget: Forget
    observer: RevocationObserver
    log: OperationalLog
    seconds: Callable[[], float] = time.perf_counter
    _stamp: int | None = None
    _server: int | None = None
    _parts: Parts = field(init=False)
    _rests_until: float = 0.0
    _leased_until: datetime = datetime.min.replace(tzinfo=UTC) + _LEASE
    _has_unwritten: bool = False
    _failing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._parts = Parts(self.terms.shows_holds, self.terms.list_valid_for)

    async def run(self) -> None:
        """Read changes and write lists until cancelled."""
        while True:
            try:
                await self.turn()
            except ThingmintError as error:
                self._failed("", error)
            else:
                self._succeeded("")
            await asyncio.sleep(TURN_SECONDS)

    async def turn(self) -> None:
        """Read the changes, and write the lists that are due if this node has the lease.

        Raises ServiceUnavailable if the database fails or this node's clock cannot be trusted. Changes that were read
        are not lost then.
        """
        await self._follow()
        await self.published.read(self.authority.store)
        if self.seconds() < self._rests_until:
            return
        self.authority.require_right_clock()
        now = self.authority.clock.now()
        self._parts.ended(now)
        is_due = self._has_unwritten or self._parts.stale or self._due(now)
        if not is_due or not await self._may_write(now):
            return
        began = self.seconds()
        await self._write(now)
        self._rests_until = 2 * self.seconds() - began

    async def _follow(self) -> None:
        store = self.authority.store
        asked = _FROM_NOW_ON if self._stamp is None else self._stamp
        found = await store.read(lambda: revocation_table.changed_from(asked, _MAX_CHANGES + 1))
        following, changed, server = found
        # Another server may lack revocations that this one has seen, and give their stamps to others.
        is_known = self._stamp is not None and following >= self._stamp and server == self._server
        if not is_known or len(changed) > _MAX_CHANGES:
            self._parts.stale.update(await store.read(revocation_table.all_parts))
            self.forget(None, None)
        for each in changed:
            self._parts.stale.add((each.issuer_id, each.part))
            self.forget(each.issuer_id, each.serial_number)
        self._stamp, self._server = following, server

    async def _may_write(self, now: datetime) -> bool:
        """Return whether this node has the lease and writes lists now."""
        if self._leased_until - _LEASE <= now < self._leased_until - _LEASE / 2:
            return True
        store, until = self.authority.store, now + _LEASE
        if await store.read(lambda: list_table.lease_of_another(self.owner, now)):
            return False
        if not await store.write(lambda: list_table.take_lease(self.owner, now, until)):
            return False
        self._leased_until = until
        return True

    async def _write(self, now: datetime) -> None:
        await self._parts.refresh(self.authority.store, now)
        # If a step below fails, the next turn repeats it, although no part is stale then.
        self._has_unwritten = True
        are_written = [await self._write_lists(crl_issuer, now) for crl_issuer in self._signing(now)]
        self._has_unwritten = not all(are_written)

    async def _write_lists(self, crl_issuer: CRLIssuer, now: datetime) -> bool:
        """Write the due lists of one CA; return whether all of them are stored."""
        issuer_id = crl_issuer.ca.issuer_id
        try:
            are_stored = [await self._write_list(crl_issuer, name, now) for name in self._names(issuer_id)]
        except (ThingmintError, IssuerUnfit) as error:
            self.observer.list_failed(issuer_id)
            self._failed(issuer_id, error)
            return False
        self._succeeded(issuer_id)
        return all(are_stored)

    async def _write_list(self, crl_issuer: CRLIssuer, name: ListName, now: datetime) -> bool:
        """Write a list if it is due; return False if another node has written it meanwhile."""
        present = self.published.get(name)
        before = None if present is None else present.state
        digest = await digest_of(tuple(self._parts.of(name)))
        if before is not None and before.content_digest == digest and not self._is_old(before, now):
            return True
        began = self.seconds()
        this_update = now.astimezone(UTC).replace(microsecond=0)
        # Higher than every number of a list that was lost with a database, if clocks are right.
        number = max(int(now.timestamp() * 1000), 0 if before is None else before.number + 1)
        next_update = this_update + self.terms.list_valid_for
        address = self.terms.list_address if name.shards > 1 else None
        terms = ListTerms(number, this_update, next_update, None if address is None else address(name))
        der = await sign_list(crl_issuer.ca, terms, (part.entries for part in self._parts.of(name)))
        state = ListState(name, number, self._parts.count(name), this_update, next_update, digest)
        if not await self.authority.store.write(lambda: list_table.replace_list(before, StoredList(state, der))):
            return False
        await self.published.keep(state, der)
        self.observer.list_written(self.seconds() - began)
        return True

    def _names(self, issuer_id: str) -> tuple[ListName, ...]:
        """Return the lists of the issuer: the complete one, and those that its certificates name."""
        complete = ListName(issuer_id)
        shards = max(self.published.shards(issuer_id), self.terms.shards_for(self._parts.count(complete)))
        present = {state.name.shards for state in self.published.states() if state.name.issuer_id == issuer_id}
        split = sorted(({shards} | present) - {1})
        return (complete, *(ListName(issuer_id, count, shard) for count in split for shard in range(count)))

    def _due(self, now: datetime) -> bool:
        """Return whether a list is due or missing."""
        signing = {crl_issuer.ca.issuer_id for crl_issuer in self._signing(now)}
        is_missing = any(self.published.get(ListName(issuer_id)) is None for issuer_id in signing)
        return is_missing or any(
            state.name.issuer_id in signing and self._is_old(state, now) for state in self.published.states()
        )

    def _signing(self, now: datetime) -> list[CRLIssuer]:
        """Return the CAs that can sign lists now."""
        return [crl_issuer for crl_issuer in self.crl_issuers() if _can_sign(crl_issuer, now)]

    def _is_old(self, state: ListState, now: datetime) -> bool:
        return not state.this_update - _AHEAD <= now < state.this_update + self.terms.list_valid_for / 2

    def _failed(self, issuer_id: str, error: Exception) -> None:
        if issuer_id not in self._failing:
            self._failing.add(issuer_id)
            # Only the type, because messages of foreign errors can quote their input.
            self.log.warning("revocation lists cannot be written", issuer=issuer_id, cause=type(error).__name__)

    def _succeeded(self, issuer_id: str) -> None:
        if issuer_id in self._failing:
            self._failing.remove(issuer_id)
            self.log.info("revocation lists are written again", issuer=issuer_id)


def _can_sign(crl_issuer: CRLIssuer, now: datetime) -> bool:
    # No certificate is valid longer than its issuer. After the issuer's expiry its list is not needed.
    ca = crl_issuer.ca
    return ca.signer is not None and signs_lists(ca) and ca.not_before <= now <= ca.not_after
