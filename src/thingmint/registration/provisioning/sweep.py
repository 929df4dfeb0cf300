"""Owns the periodic sweep of expired data: claims, unused and renewed certificates, tasks, serial numbers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from thingmint.core.errors import ServiceUnavailable
from thingmint.registration.certificates.serial_numbers import sweep_serial_reservations
from thingmint.registration.certificates.signed_certificates import sweep_revoked_certificates
from thingmint.registration.certificates.standing import sweep_revocations
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.steady_clock import SteadyClock
from thingmint.registration.provisioning.bulk import sweep_tasks
from thingmint.registration.provisioning.claims import sweep_claims
from thingmint.registration.provisioning.ownership import sweep_unused_certificates
from thingmint.registration.provisioning.renewals import end_overlaps

SWEEP_SECONDS = 30.0
# A batch is one transaction, for which other writers wait on SQLite.
_BATCH = 200
_SWEEPS = (sweep_claims, sweep_unused_certificates, sweep_tasks, sweep_serial_reservations, end_overlaps)
# Revoked certificates would be valid again if these records were deleted while the clock is ahead.
_SWEEPS_OF_REVOCATIONS = (sweep_revoked_certificates, sweep_revocations)

_Sweep: TypeAlias = Callable[[RegistrationAuthority, int], Awaitable[int]]


async def sweep(
    authority: RegistrationAuthority,
    pause_seconds: float = SWEEP_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Sweep periodically until cancelled, in batches so that other tasks run between them.

    Records of revocations are swept only if the clock has not jumped for a day, and if the active issuer is valid.
    """
    steady_clock = SteadyClock(authority.clock, monotonic)
    while True:
        try:
            for each in _SWEEPS:
                await _in_batches(each, authority, lambda: True)
            for each in _SWEEPS_OF_REVOCATIONS:
                await _in_batches(each, authority, lambda: steady_clock.is_steady() and not _has_ended(authority))
        except ServiceUnavailable:
            # The next sweep is soon enough. A node with a wrong clock leaves the work to other nodes.
            pass
        await asyncio.sleep(pause_seconds)


async def _in_batches(sweep_batch: _Sweep, authority: RegistrationAuthority, may_go_on: Callable[[], bool]) -> None:
    swept = _BATCH
    while swept == _BATCH and may_go_on():
        authority.require_right_clock()
        swept = await sweep_batch(authority, _BATCH)


def _has_ended(authority: RegistrationAuthority) -> bool:
    """Return whether the active issuer has ended, or the clock is ahead; which of them cannot be known."""
    return authority.clock.now() > authority.issuers.active.ca.not_after
