"""Renewals at the same time, on both engines: one certificate for each key, and one end of the old certificate."""

import asyncio
from datetime import timedelta

from cryptography import x509
from msgspec.structs import replace
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.signing import SettableClock
from tests.support.registration.authority import EVERYTHING, NOW, caller_with, new_authority, with_own_ids

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.certificates.renewal import DEFAULT_OVERLAP
from thingmint.issuance.csr import load_csr
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.ports import Store
from thingmint.registration.provisioning.enrollment import Enrollee, enroll
from thingmint.registration.provisioning.renewals import end_overlaps, renew

CALLER = caller_with(EVERYTHING)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "17")])


async def test_renewals_of_two_nodes_come_to_one_certificate_and_one_end(store: Store) -> None:
    clock = SettableClock(NOW)
    authority = with_own_ids(replace(new_authority(), store=store, clock=clock))
    old = await enroll(authority, Enrollee(CALLER), load_csr(csr_pem("p-256", NAME)), None)
    request = load_csr(csr_pem("p-384", NAME))

    renewed = await asyncio.gather(
        *(renew(authority, CALLER, old.certificate_id, request, may_provision=False) for _ in range(6))
    )

    assert len({each.certificate_id for each in renewed}) == 1
    assert await end_overlaps(authority, 10) == 0
    clock.at = NOW + DEFAULT_OVERLAP + timedelta(seconds=1)
    ended = await asyncio.gather(*(end_overlaps(authority, 10) for _ in range(4)))
    assert max(ended) == 1
    described = await certificates.describe(authority, CALLER, old.certificate_id)
    assert (described.status, described.customer_version) == (CertificateStatus.INACTIVE, 2)
    assert await end_overlaps(authority, 10) == 0
