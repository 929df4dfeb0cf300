"""Owns what changes in the registry mean for open connections of devices.

A status that is not ACTIVE any more, a policy or an attachment that changed, reaches open connections at once where the
change was made, and on every other node as soon as the database tells it, within a second at the latest.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.core.policies.target import CertificateTarget
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.records.certificates.statuses import MOST_STATUSES, statuses
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.kernel.changes import prune_changes
from thingmint.registration.kernel.turns import Pace
from thingmint.registration.provisioning.claims import recognise_claim

_POLL_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 30.0

log = logging.getLogger(__name__)


class DeviceChanges:
    """Follows the changes of certificates whose policies a gateway has read, and tells the gateway."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        watch: ChangeWatch[CertificateTarget],
        known: set[CertificateTarget],
        gateway: Callable[[], Gateway],
        each_second: Callable[[], None],
    ) -> None:
        """``known`` are the certificates that are watched; those whose connections have ended are removed from it."""
        self._authority = authority
        self._watch = watch
        self._known = known
        self._gateway = gateway
        self._each_second = each_second
        self._nudged = asyncio.Event()
        self._unseen: dict[CertificateTarget, None] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow."""
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._sweep())]

    async def stop(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def nudge(self) -> None:
        """Look now instead of within a second: another node has changed something."""
        self._nudged.set()

    def begin_anew(self) -> None:
        """Look at every device: changes may have been missed."""
        self._watch.begin_anew()
        self._nudged.set()

    def recorded(self, entry: AuditEntry) -> None:
        """Look at what changed now instead of within a second: it was committed here.

        The entry itself is not used: what changed is read from the feed of changes, as it is for changes of other
        nodes. So there is one way from a change to a connection, it knows what depends on what, and it tells of each
        change once, in the order of the commits.
        """
        del entry
        self._nudged.set()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._nudged.wait()
            self._nudged.clear()
            try:
                self._each_second()
                await self._look_at_all()
            except ServiceUnavailable:
                # Until the store answers again, devices keep what was decided for them.
                continue
            except Exception:
                # After any failure, revocations to come must still reach devices.
                log.exception("changes of the registry could not be followed")

    async def _look_at_all(self) -> None:
        """Look at what has changed, and at what could not be looked at before: the watch tells of it once.

        Other work goes on in between. What changes meanwhile comes first: it may be a revocation, and a change of a
        policy may concern the whole fleet.
        """
        await self._notice()
        pace = Pace()
        while self._unseen:
            targets = list(itertools.islice(self._unseen, MOST_STATUSES))
            await self._look_at(targets)
            for target in targets:
                self._unseen.pop(target, None)
            if await pace.rest() and self._nudged.is_set():
                self._nudged.clear()
                await self._notice()

    async def _notice(self) -> None:
        self._unseen = {**dict.fromkeys(await self._watch.changed_keys()), **self._unseen}

    async def _look_at(self, targets: Sequence[CertificateTarget]) -> None:
        """Ask for all statuses at once; end connections first, and bind those that stay to their policies then."""
        found = await self._authority.store.read(lambda: statuses(targets))
        staying = list[CertificateTarget]()
        for target in targets:
            status = found.get(target)
            if status is CertificateStatus.ACTIVE or (status is None and await self._is_claim(target)):
                staying.append(target)
            else:
                self._gateway().certificate_changed(target)
        self._gateway().policies_changed(staying)

    async def _is_claim(self, target: CertificateTarget) -> bool:
        claim = await recognise_claim(self._authority, target.certificate_id)
        return claim is not None and claim.scope == target.scope

    async def _sweep(self) -> None:
        """Forget devices that are gone; a device has its connection long before it is looked at twice."""
        gone: frozenset[CertificateTarget] = frozenset()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            gateway = self._gateway()
            absent = frozenset(known for known in self._known if not gateway.has_connection_of(known))
            for target in absent & gone:
                self._watch.forget(target)
                self._known.discard(target)
            gone = absent
            with contextlib.suppress(ServiceUnavailable, Throttled):
                await prune_changes(self._authority.store)
