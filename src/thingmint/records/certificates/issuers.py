"""Owns which issuers of the service have certificates in the registry."""

from collections.abc import Sequence

from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

# The issuers of the service are few: each is found by one step in the index of issuers and serial numbers.
ISSUER_IDS = (
    "SELECT id FROM (WITH RECURSIVE issuer (id) AS ("
    "SELECT min(issuer_id) FROM certificate WHERE issuer_id IS NOT NULL UNION ALL "
    "SELECT (SELECT min(issuer_id) FROM certificate WHERE issuer_id > issuer.id) FROM issuer "
    "WHERE issuer.id IS NOT NULL) SELECT id FROM issuer WHERE id IS NOT NULL) AS known"
)


def issuer_ids() -> Steps[Sequence[str]]:
    """Return the ids of all issuers of the service that have issued a certificate which is in the registry."""
    return [str(issuer_id) for (issuer_id,) in (yield from rows_of(ISSUER_IDS))]
