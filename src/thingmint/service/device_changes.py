"""Owns what changes in the registry mean for open connections of devices.

A status that is not ACTIVE any more, a policy or an attachment that changed, reaches open connections at once where the
change was made, and within a second on every other node.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.policies.target import CertificateTarget
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
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
            target = next(iter(self._unseen))
            await self._look_at(target)
            self._unseen.pop(target, None)
            if await pace.rest() and self._nudged.is_set():
                self._nudged.clear()
                await self._notice()

    async def _notice(self) -> None:
        self._unseen = {**dict.fromkeys(await self._watch.changed_keys()), **self._unseen}

    async def _look_at(self, target: CertificateTarget) -> None:
        if await self._may_stay(target):
            self._gateway().policies_changed([target])
        else:
            self._gateway().certificate_changed(target)

    async def _may_stay(self, target: CertificateTarget) -> bool:
        certificate = await self._stored(target)
        if certificate is not None:
            return certificate.status is CertificateStatus.ACTIVE
        claim = await recognise_claim(self._authority, target.certificate_id)
        return claim is not None and claim.scope == target.scope

    async def _stored(self, target: CertificateTarget) -> Certificate | None:
        return await self._authority.store.read(
            lambda: certificate_table.certificate(target.scope, target.certificate_id)
        )

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
