"""How SQLite finds what policies' statements ask for: by an index that leads to it, never along a whole account."""

import re

import pytest
from tests.support.databases.memory_store import MemoryStore

from thingmint.records.policies import policies, policy_attachments
from thingmint.storage.dialect import SQLITE

STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": text
    for module in (policies, policy_attachments)
    for name, text in vars(module).items()
    if isinstance(text, str) and re.match("SELECT |UPDATE |DELETE ", text) and not name.startswith("_")
}
TABLES = "policy|policy_version|version|stored|policy_attachment|attached|thing|thing_principal|thing_group|member"


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore()


@pytest.mark.parametrize("text", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_every_row_is_found_by_an_index_that_leads_to_it(store: MemoryStore, text: str) -> None:
    sql = SQLITE.translate(text)
    parameters = ("",) * len(set(re.findall(r"\$[0-9]+", sql)))
    plan = [str(row[3]) for row in store.tables.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    searched = [step for step in plan if re.match(rf"(SCAN|SEARCH) ({TABLES})\b", step)]
    assert searched
    for step in searched:
        assert re.search(r"\((name|target|thing_name)=|\(account=\? AND region=\? AND ", step), plan
