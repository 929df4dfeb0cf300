"""The statuses of many certificates, in one statement."""

import pytest
from tests.support.databases.stores import OTHER_SCOPE, sample_certificate

from thingmint.core.identifiers import CertificateId
from thingmint.core.policies.target import CertificateTarget
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates.statuses import MOST_STATUSES, statuses
from thingmint.registration.kernel.ports import Store


@pytest.mark.parametrize("asked", [1, 2, 16, 20, MOST_STATUSES])
async def test_statuses_of_registered_certificates_are_found_and_others_left_out(store: Store, asked: int) -> None:
    stored = [sample_certificate(number) for number in range(3)]
    for certificate in stored:
        await store.write(lambda new=certificate: certificate_table.insert_certificate(new))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    known = [CertificateTarget(each.scope, each.certificate_id) for each in stored]
    foreign = CertificateTarget(OTHER_SCOPE, stored[0].certificate_id)
    unknown = [CertificateTarget(OTHER_SCOPE, CertificateId(f"{number:064x}")) for number in range(MOST_STATUSES)]
    targets = [*known, foreign, *unknown][:asked]
    found = await store.read(lambda: statuses(targets))
    assert {target: found[target] for target in targets if target in found} == {
        target: certificate.status for target, certificate in zip(known, stored, strict=True) if target in targets
    }
