"""How SQLite finds certificates where statistics say that all are alike: within one range of the search's own index."""

import apsw
import pytest
from tests.support.databases.memory_store import MemoryStore

from thingmint.records.certificates import certificate_search

INDEXES = {
    "BY_STATUS": "certificate_by_status (account=? AND region=? AND status=? AND <expr><?)",
    "BY_SERIAL_NUMBER": "certificate_by_serial (account=? AND region=? AND serial_number=? AND <expr><?)",
    "BY_ISSUER": "certificate_by_issuer (account=? AND region=? AND issuer_id=? AND <expr><?)",
    "BY_CA_CERTIFICATE": "certificate_of_ca (account=? AND region=? AND ca_certificate_id=? AND <expr><?)",
    "REST_OF_COMMON_NAME": "certificate_by_common_name (account=? AND region=? AND common_name=? AND <expr>>?)",
    "BY_COMMON_NAME": "certificate_by_common_name (account=? AND region=? AND common_name>? AND common_name<?)",
    "REST_OF_END": "certificate_by_end (account=? AND region=? AND not_after=? AND <expr>>?)",
    "BY_END": "certificate_by_end (account=? AND region=? AND not_after>? AND not_after<?)",
    "BY_ID": "sqlite_autoindex_certificate_1 (certificate_id>? AND certificate_id<?)",
}
SEARCHES = ("certificate_by_status", "certificate_by_issuer", "certificate_by_common_name", "certificate_by_end")


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    """A database whose statistics are those of a million certificates with one name, status, issuer and end."""
    found = MemoryStore().tables.connection
    found.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    found.execute("ANALYZE")
    rows = [("certificate", name, "1000000 1000000 1000000 1000000 1") for name in SEARCHES]
    rows.append(("certificate", "certificate_list", "1000000 1000000 1000000 1 1 1 1 1"))
    rows.append(("certificate", "certificate_by_serial", "1000000 1000000 1000000 1 1"))
    found.execute("DELETE FROM sqlite_stat1")
    found.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", rows)
    found.execute("ANALYZE sqlite_schema")
    return found


@pytest.mark.parametrize("name", INDEXES)
def test_a_page_is_one_range_of_the_searchs_index(connection: apsw.Connection, name: str) -> None:
    sql = getattr(certificate_search, name)
    parameters = ("1",) * len({part[0] for part in sql.split("$")[1:]})
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    assert plan == [f"SEARCH certificate USING INDEX {INDEXES[name]}"]
