"""A database from before revocations were recorded: what is revoked, on hold or deleted there is shown afterwards."""

from dataclasses import replace

from tests.support.databases.stores import insert, sample_certificate

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.certificates.revocation import RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.records.certificates import revocations as revocation_table
from thingmint.records.certificates.signed_certificates import RevokedCertificate, insert_revoked_certificate
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.storage import migration_code

ISSUER, RETIRED = "ab" * 32, "cd" * 32


async def test_what_is_there_is_recorded(store: Store) -> None:
    statuses = {
        1: CertificateStatus.ACTIVE,
        2: CertificateStatus.REVOKED,
        3: CertificateStatus.INACTIVE,
        4: CertificateStatus.PENDING_TRANSFER,
        5: CertificateStatus.PENDING_ACTIVATION,
    }
    samples = {number: replace(sample_certificate(number), status=status) for number, status in statuses.items()}
    foreign = replace(samples[2], certificate_id=sample_certificate(6).certificate_id, issuer_id=None)
    retired = replace(sample_certificate(7), issuer_id=RETIRED)
    await insert(store, *samples.values(), foreign, retired)
    deleted = RevokedCertificate(
        samples[1].scope, "ef" * 32, None, None, SerialNumber(77), samples[1].mode, samples[1].not_after
    )

    def program() -> Steps[None]:
        yield from insert_revoked_certificate(deleted)
        yield from migration_code.fill_revocations()

    await store.write(program)
    # As after a migration that was done twice: nothing changes.
    await store.write(migration_code.fill_revocations)

    async def reason(issuer_id: str, number: int) -> RevocationReason | None:
        found = (await store.read(lambda: revocation_table.standing(issuer_id, SerialNumber(number))))[1]
        return None if found is None else found.reason

    assert {number: await reason(ISSUER, sample.serial_number) for number, sample in samples.items()} == {
        1: None,
        2: RevocationReason.UNSPECIFIED,
        3: RevocationReason.CERTIFICATE_HOLD,
        4: RevocationReason.CERTIFICATE_HOLD,
        5: None,
    }
    # Which of the issuers it was is not known.
    assert [await reason(issuer_id, 77) for issuer_id in (ISSUER, RETIRED)] == [RevocationReason.UNSPECIFIED] * 2
    part = await store.read(
        lambda: revocation_table.revocations_of_part(
            ISSUER, revocation_table.part_of(samples[3].serial_number), samples[3].created_at
        )
    )
    assert samples[3].serial_number in {each.serial_number for each in part}
