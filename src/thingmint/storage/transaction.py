"""Owns the verbs of a transaction as generators of statements, one text for both engines; runs nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from thingmint.core.access_key import AccessKey
from thingmint.core.certificate import Certificate, CertificateSummary
from thingmint.core.errors import DuplicateCertificate, InvalidRequest
from thingmint.core.identifiers import AccountId, CertificateId, Scope
from thingmint.registration.audit import AuditEntry
from thingmint.registration.ports import PageKey, Steps
from thingmint.storage import queries, rows
from thingmint.storage.dialect import Dialect
from thingmint.storage.statement import row_of, rows_of

# Positions start at 1 and fit a signed 64-bit integer on both engines.
_BEFORE_FIRST = 0
_AFTER_LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SqlTransaction:
    """Implements `registration.ports.Transaction` for one dialect; has no state, so one object serves everybody."""

    dialect: Dialect

    def certificate(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate, or None."""
        row = yield from row_of(queries.CERTIFICATE, certificate_id, scope.account, scope.region)
        return None if row is None else rows.certificate_of_row(row)

    def certificate_for_update(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate and keep others from changing it until this transaction ends."""
        sql = queries.CERTIFICATE + self.dialect.for_update
        row = yield from row_of(sql, certificate_id, scope.account, scope.region)
        return None if row is None else rows.certificate_of_row(row)

    def certificate_summaries(
        self, scope: Scope, after: PageKey | None, limit: int, *, ascending: bool
    ) -> Steps[Sequence[CertificateSummary]]:
        """Return up to ``limit`` certificates in the order of their creation, newest first unless ascending."""
        sql = queries.SUMMARIES_OLDEST_FIRST if ascending else queries.SUMMARIES_NEWEST_FIRST
        position = _position(after, ascending=ascending)
        found = yield from rows_of(sql, scope.account, scope.region, position, limit)
        return tuple([rows.summary_of_row(scope, row) for row in found])

    def insert_certificate(self, certificate: Certificate) -> Steps[None]:
        """Store a new certificate; raise DuplicateCertificate if its id, or its issuer and serial number, exist."""
        inserted = yield from row_of(queries.INSERT_CERTIFICATE, *rows.columns_of_certificate(certificate))
        if inserted is None:
            raise DuplicateCertificate(f"The certificate is already registered. Id: {certificate.certificate_id}")

    def update_certificate(self, before: Certificate, after: Certificate) -> Steps[bool]:
        """Store status, times and version if the stored version is still that of ``before``; say whether it was."""
        updated = yield from row_of(
            queries.UPDATE_CERTIFICATE,
            after.status.value,
            rows.column_of_time(after.modified_at),
            after.customer_version,
            before.certificate_id,
            before.scope.account,
            before.scope.region,
            before.customer_version,
        )
        return updated is not None

    def delete_certificate(self, certificate: Certificate) -> Steps[bool]:
        """Delete the certificate if its stored version is still this one; say whether it was."""
        scope, version = certificate.scope, certificate.customer_version
        deleted = yield from row_of(
            queries.DELETE_CERTIFICATE, certificate.certificate_id, scope.account, scope.region, version
        )
        return deleted is not None

    def access_key(self, access_key_id: str) -> Steps[AccessKey | None]:
        """Return the access key, or None."""
        row = yield from row_of(queries.ACCESS_KEY, access_key_id)
        return None if row is None else rows.access_key_of_row(row)

    def access_keys(self, account: AccountId | None) -> Steps[Sequence[AccessKey]]:
        """Return the access keys of an account, or of all, oldest first."""
        if account is None:
            found = yield from rows_of(queries.ACCESS_KEYS)
        else:
            found = yield from rows_of(queries.ACCESS_KEYS_OF_ACCOUNT, account)
        return tuple(map(rows.access_key_of_row, found))

    def insert_access_key(self, access_key: AccessKey) -> Steps[None]:
        """Store a new access key; raise InvalidRequest if its identifier exists."""
        inserted = yield from row_of(queries.INSERT_ACCESS_KEY, *rows.columns_of_access_key(access_key))
        if inserted is None:
            raise InvalidRequest(f"The access key {access_key.access_key_id} exists already")

    def delete_access_key(self, access_key_id: str) -> Steps[bool]:
        """Delete the access key; say whether it existed."""
        deleted = yield from row_of(queries.DELETE_ACCESS_KEY, access_key_id)
        return deleted is not None

    def append_audit(self, entry: AuditEntry) -> Steps[None]:
        """Append an entry to the audit trail."""
        yield from rows_of(queries.APPEND_AUDIT, *rows.columns_of_audit_entry(entry))

    def audit_entries(self, scope: Scope, after: PageKey | None, limit: int) -> Steps[Sequence[AuditEntry]]:
        """Return up to ``limit`` audit entries, newest first."""
        position = _position(after, ascending=False)
        found = yield from rows_of(queries.AUDIT_NEWEST_FIRST, scope.account, scope.region, position, limit)
        return tuple(map(rows.audit_entry_of_row, found))


def check_write() -> Steps[None]:
    """Change one row, so that a commit proves that the database can be written to."""
    yield from rows_of(queries.CHECK_WRITE)


def _position(after: PageKey | None, *, ascending: bool) -> int:
    if after is None:
        return _BEFORE_FIRST if ascending else _AFTER_LAST
    # A page key comes back from outside: a number of any size must not become an error of the database.
    return min(max(after.position, _BEFORE_FIRST), _AFTER_LAST)
