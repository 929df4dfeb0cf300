"""Owns the few words in which SQLite and PostgreSQL differ; knows no table but the one that counts migrations."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """Words for the tokens in migrations, and the statements that have no common form.

    ``summary_columns`` is what a list's index carries beside its key. SQLite then answers a list from the index and
    never touches the pages that hold DER; PostgreSQL reads the heap for visibility in any case, and would pay for
    the columns at each change of status. ``ordered_text`` is compared byte by byte whatever the language of the
    database: in another order, what starts alike does not stand together.

    ``for_key_share`` keeps a row from being deleted while others do the same, ``for_share`` from being changed.

    A change's stamp orders changes so that a reader that asks for those from ``change_horizon`` on misses none. On
    SQLite commits follow one another, and a counter is enough. On PostgreSQL they overlap; the stamp is the
    transaction's id, and the horizon the id of the oldest one that was not finished when it was asked for. Ids from
    ``change_ceiling`` on are of no transaction that can be seen: they came with a dump of another cluster.
    """

    primary_key: str
    blob: str
    ordered_text: str
    summary_columns: str
    for_update: str
    for_key_share: str
    for_share: str
    change_stamp: str
    change_horizon: str
    change_ceiling: str
    migration_lock: str | None
    schema_version_exists: str

    def translate(self, sql: str) -> str:
        """Return the migration's text in this dialect."""
        tokens = {
            "{PK}": self.primary_key,
            "{BLOB}": self.blob,
            "{ORDERED_TEXT}": self.ordered_text,
            "{SUMMARY_COLUMNS}": self.summary_columns,
        }
        for token, words in tokens.items():
            sql = sql.replace(token, words)
        return sql


SQLITE = Dialect(
    # AUTOINCREMENT: without it the position of a deleted newest row is given out again.
    primary_key="INTEGER PRIMARY KEY AUTOINCREMENT",
    blob="BLOB",
    ordered_text="TEXT",
    summary_columns=", certificate_id, status, mode, created_at",
    for_update="",
    for_key_share="",
    for_share="",
    change_stamp="(SELECT coalesce(max(stamp), 0) + 1 FROM resource_change)",
    change_horizon="(SELECT coalesce(max(stamp), 0) + 1 FROM resource_change)",
    change_ceiling="9223372036854775807",
    migration_lock=None,
    schema_version_exists="SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'",
)

POSTGRESQL = Dialect(
    primary_key="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    blob="BYTEA",
    ordered_text='TEXT COLLATE "C"',
    summary_columns="",
    for_update=" FOR UPDATE",
    for_key_share=" FOR KEY SHARE",
    for_share=" FOR SHARE",
    change_stamp="CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)",
    change_horizon="CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)",
    change_ceiling="CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)",
    # Any number that no other user of the database takes; held until the migrating transaction ends.
    migration_lock="SELECT pg_advisory_xact_lock(8391465205717003)",
    schema_version_exists="SELECT count(*) FROM pg_class WHERE oid = to_regclass('schema_version')",
)
