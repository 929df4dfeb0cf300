"""Owns the table of certificate providers. Independent of the database engine."""

from collections.abc import Sequence

from thingmint.core.certificates.certificate_provider import (
    CertificateProvider,
    CertificateProviderEntry,
    ProvidedOperation,
)
from thingmint.core.identifiers import AccountId, CertificateProviderName, Region, Scope
from thingmint.core.paging import PageRequest
from thingmint.records.columns import column_of_time, one_named, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE

COLUMNS = "account, region, name, function_arn, operation, client_token, created_at, modified_at"

PROVIDER = f"SELECT {COLUMNS} FROM certificate_provider {one_named(1)}"  # noqa: S608  constants above

PROVIDER_OF = f"SELECT {COLUMNS} FROM certificate_provider WHERE account = $1 AND region = $2 AND operation = $3"  # noqa: S608  as above

INSERT_PROVIDER = (
    f"INSERT INTO certificate_provider ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "  # noqa: S608  as above
    "ON CONFLICT DO NOTHING RETURNING position"
)

UPDATE_PROVIDER = f"UPDATE certificate_provider SET function_arn = $1, operation = $2, modified_at = $3 {one_named(4)}"  # noqa: S608  as above

DELETE_PROVIDER = f"DELETE FROM certificate_provider {one_named(1)}"  # noqa: S608  constants above

# An account has few providers, which are found by the account; the expression keeps the planner from the primary key.
_LIST = "SELECT name, position FROM certificate_provider WHERE account = $1 AND region = $2 AND position + 0"
NEWEST_FIRST = f"{_LIST} < $3 ORDER BY position + 0 DESC LIMIT $4"
OLDEST_FIRST = f"{_LIST} > $3 ORDER BY position + 0 LIMIT $4"


def certificate_provider(scope: Scope, name: CertificateProviderName) -> Steps[CertificateProvider | None]:
    """Return the provider, or None."""
    return _provider_of_row((yield from row_of(PROVIDER, name, scope.account, scope.region)))


def certificate_provider_for_update(scope: Scope, name: CertificateProviderName) -> Steps[CertificateProvider | None]:
    """Return the provider and lock it against changes until this transaction ends."""
    sql = PROVIDER + FOR_UPDATE
    return _provider_of_row((yield from row_of(sql, name, scope.account, scope.region)))


def certificate_provider_of(scope: Scope, operation: ProvidedOperation) -> Steps[CertificateProvider | None]:
    """Return the provider of the operation, or None."""
    return _provider_of_row((yield from row_of(PROVIDER_OF, scope.account, scope.region, operation.value)))


def certificate_providers(scope: Scope, page: PageRequest) -> Steps[Sequence[CertificateProviderEntry]]:
    """Return up to ``page.size`` providers in the order of their creation."""
    sql, position = (
        OLDEST_FIRST if page.ascending else NEWEST_FIRST,
        position_after(page.after, ascending=page.ascending),
    )
    rows = yield from rows_of(sql, scope.account, scope.region, position, page.size)
    return tuple([CertificateProviderEntry(CertificateProviderName(name), position) for name, position in rows])


def insert_certificate_provider(provider: CertificateProvider) -> Steps[bool]:
    """Store a new provider unless one with its name or operation exists; return whether it was stored."""
    inserted = yield from row_of(
        INSERT_PROVIDER,
        provider.scope.account,
        provider.scope.region,
        provider.name,
        provider.function_arn,
        provider.operation.value,
        provider.client_token,
        column_of_time(provider.created_at),
        column_of_time(provider.modified_at),
    )
    return inserted is not None


def update_certificate_provider(provider: CertificateProvider) -> Steps[None]:
    """Store function, operation and time of a provider that this transaction has locked for update."""
    yield from rows_of(
        UPDATE_PROVIDER,
        provider.function_arn,
        provider.operation.value,
        column_of_time(provider.modified_at),
        provider.name,
        provider.scope.account,
        provider.scope.region,
    )


def delete_certificate_provider(provider: CertificateProvider) -> Steps[None]:
    """Delete a provider that this transaction has locked for update."""
    yield from rows_of(DELETE_PROVIDER, provider.name, provider.scope.account, provider.scope.region)


def _provider_of_row(row: Row | None) -> CertificateProvider | None:
    if row is None:
        return None
    account, region, name, function_arn, operation, client_token, created_at, modified_at = row
    return CertificateProvider(
        scope=Scope(AccountId(account), Region(region)),
        name=CertificateProviderName(name),
        function_arn=function_arn,
        operation=ProvidedOperation(operation),
        client_token=client_token,
        created_at=time_of_column(created_at),
        modified_at=time_of_column(modified_at),
    )
