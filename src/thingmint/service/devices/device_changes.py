"""Owns the effect of changes in the registry on open connections of devices.

A status other than ACTIVE, a changed policy or a changed attachment applies to open connections immediately on the node
that made the change. Other nodes apply it when the database notifies them, and at the latest after a second.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.core.identifiers import Scope
from thingmint.core.policies.target import CertificateTarget
from thingmint.core.principals import AccessKeyTarget, PrincipalTarget, Watched
from thingmint.mqtt.edges.registered_devices import RegisteredDevices
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.rights.ports import DeviceRefused
from thingmint.records.certificates.statuses import MOST_STATUSES, statuses
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.kernel.changes import prune_changes
from thingmint.registration.kernel.turns import Pace
from thingmint.registration.provisioning.claims import recognise_claim
from thingmint.service.devices.deleted_accounts import DeletedAccounts

_POLL_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 30.0
# How often policies that depend on the time are decided again for open connections.
_TIMES_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class DeviceChanges:
    """Follows the changes of principals whose policies a gateway has read, and notifies the gateway."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        watch: ChangeWatch[Watched],
        devices: RegisteredDevices,
        deleted: DeletedAccounts,
        gateway: Callable[[], Gateway],
        each_second: Callable[[], None],
    ) -> None:
        """The watched principals whose connections have ended are removed from those that ``devices`` knows."""
        self._authority = authority
        self._watch = watch
        self._devices = devices
        self._known = devices.known
        self._deleted = deleted
        self._gateway = gateway
        self._each_second = each_second
        self._is_woken = asyncio.Event()
        self._unseen: dict[PrincipalTarget, None] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start to follow the changes."""
        self._tasks = [asyncio.create_task(each) for each in (self._follow(), self._sweep(), self._follow_times())]

    async def stop(self) -> None:
        """Stop following the changes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake(self) -> None:
        """Check for changes now, because a node has committed one.

        The feed reports the changes of this and of other nodes: each one once, in the order of the commits, and with
        all certificates that it affects.
        """
        self._is_woken.set()

    def begin_anew(self) -> None:
        """Check every device, because changes may have been missed."""
        self._watch.begin_anew()
        self._is_woken.set()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._is_woken.wait()
            self._is_woken.clear()
            try:
                self._each_second()
                await self._deleted.watch_all()
                await self._look_at_all()
                await self._deleted.forget()
            except ServiceUnavailable:
                # Until the store answers again, earlier decisions stay in force.
                continue
            except Exception:
                # After any failure, later revocations must still reach devices.
                log.exception("changes of the registry could not be followed")

    async def _look_at_all(self) -> None:
        """Check changed certificates, and those whose earlier check failed, because the watch reports each change once.

        The event loop runs other tasks in between. Newer changes are checked first: one may be a revocation, while a
        change of a policy can affect the whole fleet.
        """
        await self._notice()
        pace = Pace()
        while self._unseen:
            targets = list(itertools.islice(self._unseen, MOST_STATUSES))
            await self._look_at(targets)
            for target in targets:
                self._unseen.pop(target, None)
            if await pace.rest() and self._is_woken.is_set():
                self._is_woken.clear()
                await self._notice()

    async def _notice(self) -> None:
        changed = await self._watch.changed_keys()
        self._deleted.note(changed)
        self._unseen = {**{each: None for each in changed if not isinstance(each, Scope)}, **self._unseen}

    async def _look_at(self, targets: Sequence[PrincipalTarget]) -> None:
        """Read all statuses at once; first end connections, then load the policies of those that stay."""
        certificates = [target for target in targets if isinstance(target, CertificateTarget)]
        found = await self._authority.store.read(lambda: statuses(certificates)) if certificates else {}
        staying = list[PrincipalTarget]()
        pace = Pace()
        for target in targets:
            if isinstance(target, AccessKeyTarget):
                await pace.rest()
                stays = await self._is_valid(target)
            else:
                status = found.get(target)
                stays = status is CertificateStatus.ACTIVE or (status is None and await self._is_claim(target))
            if stays:
                staying.append(target)
            else:
                self._gateway().principal_ended(target)
        self._gateway().policies_changed(staying)

    async def _is_valid(self, target: AccessKeyTarget) -> bool:
        try:
            await self._devices.access_keys.valid_key(target)
        except DeviceRefused:
            return False
        return True

    async def _is_claim(self, target: CertificateTarget) -> bool:
        claim = await recognise_claim(self._authority, target.certificate_id)
        return claim is not None and claim.scope == target.scope

    async def _follow_times(self) -> None:
        """Decide again what the policies of access keys allow at this time."""
        while True:
            await asyncio.sleep(_TIMES_SECONDS)
            self._gateway().policies_changed(self._devices.access_keys.with_times())

    async def _sweep(self) -> None:
        """Stop watching devices that two successive sweeps have found without a connection."""
        gone: frozenset[PrincipalTarget] = frozenset()
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
