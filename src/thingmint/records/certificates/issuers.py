"""Owns the query for the issuers of the service that have certificates in the registry."""

from collections.abc import Sequence

from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

# The service has few issuers. Each step in the index of issuers and serial numbers finds the next one.
ISSUER_IDS = (
    "SELECT id FROM (WITH RECURSIVE issuer (id) AS ("
    "SELECT min(issuer_id) FROM certificate WHERE issuer_id IS NOT NULL UNION ALL "
    "SELECT (SELECT min(issuer_id) FROM certificate WHERE issuer_id > issuer.id) FROM issuer "
    "WHERE issuer.id IS NOT NULL) SELECT id FROM issuer WHERE id IS NOT NULL) AS known"
)


def issuer_ids() -> Steps[Sequence[str]]:
    """Return the ids of all issuers of the service with a certificate in the registry."""
    return [str(issuer_id) for (issuer_id,) in (yield from rows_of(ISSUER_IDS))]
