"""Owns the periodic sweep of expired data: claims, unused and renewed certificates, tasks, serial numbers."""

import asyncio

from thingmint.core.errors import ServiceUnavailable
from thingmint.registration.certificates.serial_numbers import sweep_serial_reservations
from thingmint.registration.certificates.signed_certificates import sweep_revoked_certificates
from thingmint.registration.certificates.standing import sweep_revocations
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.bulk import sweep_tasks
from thingmint.registration.provisioning.claims import sweep_claims
from thingmint.registration.provisioning.ownership import sweep_unused_certificates
from thingmint.registration.provisioning.renewals import end_overlaps

SWEEP_SECONDS = 30.0
# A batch is one transaction, for which other writers wait on SQLite.
_BATCH = 200
_SWEEPS = (
    sweep_claims,
    sweep_unused_certificates,
    sweep_tasks,
    sweep_revoked_certificates,
    sweep_serial_reservations,
    sweep_revocations,
    end_overlaps,
)


async def sweep(authority: RegistrationAuthority, pause_seconds: float = SWEEP_SECONDS) -> None:
    """Sweep periodically until cancelled, in batches so that other tasks run between them."""
    while True:
        try:
            for each in _SWEEPS:
                swept = _BATCH
                while swept == _BATCH:
                    authority.require_right_clock()
                    swept = await each(authority, _BATCH)
        except ServiceUnavailable:
            # The next sweep is soon enough. A node with a wrong clock leaves the work to other nodes.
            pass
        await asyncio.sleep(pause_seconds)
