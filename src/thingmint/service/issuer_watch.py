"""Owns how a running node follows changes of the issuers in the database, and their metrics and log lines.

Every second it compares the states of the few issuers. After a change it reads them again, writes device-ca.pem, and
gives the active one to the registration authority. Requests in progress finish with the issuer that they began with.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable, ThingmintError
from thingmint.core.issuer import IssuerStatus
from thingmint.core.operational_log import OperationalLog
from thingmint.host.telemetry import Metrics
from thingmint.issuance.authorities.issuer_life import WARNED_AT, life_left, warning_of
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.keys.private_keys import PrivateKeyError
from thingmint.issuance.profiles.profile import ProfileError
from thingmint.records import issuers as issuer_table
from thingmint.records.issuers import IssuerState
from thingmint.registration.issuers.issuers import list_issuers
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.service.issuers.known_issuers import KnownIssuers, follow_on_disk
from thingmint.service.opening import Registry

FOLLOW_SECONDS = 1.0


class IssuerWatch:
    """Follows the issuers for one node."""

    def __init__(
        self, registry: Registry, authority: RegistrationAuthority, metrics: Metrics, log: OperationalLog
    ) -> None:
        self._registry = registry
        self._authority = authority
        self._metrics = metrics
        self._log = log
        self._known = registry.issuers
        self._states: Sequence[IssuerState] | None = None
        self._refused: Sequence[IssuerState] | None = None
        self._is_away = False
        self._warned: tuple[str, float] | None = None
        self._ended: frozenset[str] = frozenset()
        self._keyless: tuple[str, ...] = ()

    async def run(self) -> None:
        """Call `turn` every second until cancelled."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            with contextlib.suppress(ThingmintError):
                # While the database is away, no change of issuers can be committed.
                await self.turn()

    async def turn(self) -> None:
        """Apply changes, check the issuers' keys, and update the metrics of the issuers' remaining lifetimes.

        An issuer that has ended is a change, too: it is removed from device-ca.pem.
        """
        states = await self._registry.store.read(lambda: issuer_table.issuer_states())
        if states != self._states or self._known.ended(self._registry.clock.now()) != self._ended:
            await self._follow(states)
        await self._check_key()
        self._show_missing_keys()
        self._show_lives()

    @property
    def known(self) -> KnownIssuers:
        """The issuers at the last reading."""
        return self._known

    def check(self) -> None:
        """Return if the active issuer's key can be used; raise ServiceUnavailable otherwise."""
        if self._is_away or self._refused is not None:
            raise ServiceUnavailable("The key of the active issuer cannot be used")

    async def _follow(self, states: Sequence[IssuerState]) -> None:
        registry = self._registry
        records = await list_issuers(registry.store)
        now = registry.clock.now()
        try:
            known = registry.sources.known(records)
            follow_on_disk(registry.config.data_dir, registry.authorities, known, now)
            self._use(known)
        except (IssuerUnfit, ProfileError, PrivateKeyError, ServiceUnavailable, OSError) as error:
            if isinstance(error, OSError):
                # The next turn tries again: a full disk may have space by then.
                self._log.error("device-ca.pem cannot be written", cause=in_words(error))
                return
            if states != self._refused:
                # Tried again every second, but logged once.
                self._log.error("the issuers of the database cannot be used here", cause=in_words(error))
            self._refused = states
            return
        self._states, self._refused, self._ended = states, None, known.ended(now)

    def _use(self, known: KnownIssuers) -> None:
        before, active = self._known.active.ca.issuer_id, known.active
        profile = self._registry.sources.profile_of(active.record)
        shortens = self._registry.config.at_issuer_end == "shorten"
        self._authority.issuers.use(active.ca, known.retired, profile, shortens=shortens)
        self._known = known
        if active.ca.issuer_id != before:
            self._metrics.certificate_expiry("issuing", active.ca.not_after)
            self._log.info("another issuer is active", issuer_id=active.ca.issuer_id, before=before)

    async def _check_key(self) -> None:
        signer = self._known.active.ca.signer
        assert signer is not None
        try:
            await signer.check()
        except ServiceUnavailable as error:
            if not self._is_away:
                reason = getattr(error, "reason", error.message)
                self._log.error("the key of the active issuer is away: nothing is issued", cause=reason)
            self._is_away = True
        else:
            if self._is_away:
                self._log.info("the key of the active issuer is there again")
            self._is_away = False

    def _show_missing_keys(self) -> None:
        keyless = self._known.keyless(self._registry.clock.now())
        self._metrics.keyless_issuers(len(keyless))
        for issuer_id in keyless:
            if issuer_id not in self._keyless:
                self._log.warning(
                    "the key of a retired issuer is missing: its revocation list and OCSP cannot be renewed",
                    issuer_id=issuer_id,
                )
        self._keyless = keyless

    def _show_lives(self) -> None:
        at = self._registry.clock.now()
        shares = {
            (each.ca.issuer_id, each.record.status.value): life_left(each.ca.not_before, each.ca.not_after, at)
            for each in self._known
        }
        self._metrics.issuer_lives(shares)
        active = self._known.active.ca
        reached = warning_of(shares[active.issuer_id, IssuerStatus.ACTIVE.value])
        state = None if reached is None else (active.issuer_id, reached)
        if state != self._warned:
            self._warned = state
            if reached is not None:
                tell = self._log.error if reached == min(WARNED_AT) else self._log.warning
                tell(
                    f"the active issuer has less than {reached:.0%} of its life left: rotate it",
                    issuer_id=active.issuer_id,
                    ends=active.not_after.isoformat(),
                )
