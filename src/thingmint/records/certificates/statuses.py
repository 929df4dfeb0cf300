"""Owns the reading of many certificates' statuses with one statement. Independent of the database engine."""

from collections.abc import Mapping, Sequence
from typing import Final

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.core.policies.target import CertificateTarget
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

# Only a few lengths, so that the engines cache only a few prepared statements.
_LENGTHS: Final = (1, 16, 128, 512)
MOST_STATUSES: Final = _LENGTHS[-1]
"""The maximum number of certificates of one statement."""


def _asking(length: int) -> str:
    places = ", ".join(f"${number}" for number in range(1, length + 1))
    return f"SELECT account, region, certificate_id, status FROM certificate WHERE certificate_id IN ({places})"  # noqa: S608  places of parameters


_STATEMENTS: Final = {length: _asking(length) for length in _LENGTHS}


def statuses(targets: Sequence[CertificateTarget]) -> Steps[Mapping[CertificateTarget, CertificateStatus]]:
    """Return the statuses of up to MOST_STATUSES certificates; those that are not registered are left out."""
    length = next(each for each in _LENGTHS if each >= len(targets))
    ids = [each.certificate_id for each in targets]
    # Repeats the last one to fill the remaining parameters.
    rows = yield from rows_of(_STATEMENTS[length], *ids, *ids[-1:] * (length - len(ids)))
    return {
        CertificateTarget(Scope(AccountId(account), Region(region)), CertificateId(certificate_id)): CertificateStatus(
            status
        )
        for account, region, certificate_id, status in rows
    }
